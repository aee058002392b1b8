"""What `ssh:` may be followed by, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.hosts import open_host
from pytest_winserve.hosts.ssh.client import Destination


@pytest.mark.parametrize(
    ("text", "address", "python", "chdir"),
    [
        ("me@win1", "me@win1", None, None),
        ("ssh://me@win1:2222", "ssh://me@win1:2222", None, None),
        ("win1//python=py -3.12", "win1", "py -3.12", None),
        ("ssh://win1:22//chdir=C:/srv//python=py", "ssh://win1:22", "py", "C:/srv"),
    ],
)
def test_parts(text: str, address: str, python: str | None, chdir: str | None) -> None:
    found = Destination.parse("ssh", text)
    assert (found.address, found.python, found.chdir) == (address, python, chdir)
    assert open_host(f"ssh:{text}").name == f"ssh:{text}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name the machine, as for ssh: ssh:USER@HOST"),
        ("-oProxyCommand=evil", "is no machine as ssh knows it"),
        ("two words", "is no machine as ssh knows it"),
        ("win1//pyhton=py", "//pyhton=py is none of //python=COMMAND"),
        ("win1//python=", "//python= is none of"),
        ("win1//ssh_config=/no/such", "there is no file /no/such"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_host(f"ssh:{text}")


def test_without_a_file_of_its_own_ssh_takes_the_users(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("", "utf-8")
    own = Destination.parse("ssh", f"win1//ssh_config={config}")
    assert own.ssh_config == str(config)
    assert Destination.parse("ssh", "win1").ssh_config is None
