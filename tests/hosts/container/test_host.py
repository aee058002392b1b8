"""Sites in a Linux container: what they do, and that nothing of this machine is open to others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_winserve import Lab
from pytest_winserve.docker.engine import ask
from pytest_winserve.errors import MissingComponent, StartError, UsageError, WinserveError
from pytest_winserve.hosts.container import ContainerMachine
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows

from .conftest import Containers, Image

pytestmark = [
    pytest.mark.usefixtures("traces"),
    needs("container"),
    not_on_windows("the host container is for labs on Linux and macOS"),
]


@pytest.fixture
def lab(mine: Containers) -> Iterator[Lab]:
    with Lab("container", start_timeout=60) as lab:
        yield lab


def test_a_site_in_a_container_is_like_one_here(lab: Lab, mine: Containers) -> None:
    with lab.serve("nginx4") as site:
        urls = [site.url, *(backend.url for backend in site.backends)]
        assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
        pids = [site.get(f"{url}/test").json()["pid"] for url in urls]
        assert pids[1:] == [backend.pid for backend in site.backends]
        assert site.probe().blocked_fraction == 0
        assert site.capacity(limit=8).at_least
        result = site.load(users=8, count=400)
        assert (result.sent, result.outcomes) == (400, {"200": 400})
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        assert site.deployment.pids().keys() == {"nginx", *(f"backend-{n}" for n in range(4))}
        assert "GET /test" in site.logs()["backend-0"]
        assert site.machine["versions"]["nginx"].startswith(str(site.deployment.binary)[:4])
        with lab.serve("tornado:threads=2") as other:
            assert other.capacity(limit=8).value == 2
            (name,) = mine.names()
        published = json.loads(ask("inspect", "--format", "{{json .NetworkSettings.Ports}}", name))
        assert {each["HostIp"] for ports in published.values() for each in ports} == {"127.0.0.1"}
    assert mine.names() == [name]  # the lab is still open


WRITES = """
import os
from pathlib import Path

def app(environ, start_response):
    try:
        Path("written").write_text("x")
        text = "could write"
    except OSError as error:
        text = os.strerror(error.errno)
    start_response("200 OK", [])
    return [f"{text} in {os.getcwd()}, {Path('beside.txt').read_text()}".encode()]
"""


def test_the_current_folder_is_there_and_cannot_be_written(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text(WRITES)
    Path("beside.txt").write_text("as here")
    with lab.serve("waitress", "shop:app", fast="/") as site:
        assert site.get("/").text == f"Read-only file system in {tmp_path}, as here"
    assert not Path("written").exists()


def test_a_folder_that_would_hide_the_containers_own(
    mine: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match=r"the folder / .* would hide the container's own /bin"):
        Lab("container").serve("flask")


def test_an_app_that_needs_what_is_not_in_the_image(lab: Lab) -> None:
    with pytest.raises(UsageError, match=r"(?s)no module 'nosuch'.*setup container --with PACKAGE"):
        lab.serve("flask", "nosuch:app")


def test_a_port_of_ones_own_is_not_to_be_had(lab: Lab) -> None:
    with pytest.raises(UsageError, match="port 8000 is not among those that can be reached there"):
        lab.serve("flask", port=8000)


def test_a_command_of_ones_own(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = "python3 -m http.server {port} --bind"
    with lab.serve("command", command=f"{command} {{address}}", fast="/") as site:
        assert site.get("/").status_code == 200
    with lab.serve("nginx1-command", command=f"{command} 127.0.0.1", fast="/") as site:
        assert site.get("/").status_code == 200
    with pytest.raises(StartError, match=r"(?s)not from here: .* listen on {address}:{port}"):
        lab.serve("command", command=f"{command} 127.0.0.1", fast="/")


def test_a_full_disk_over_there(mine: Containers, engine: str, image: Image) -> None:
    # A container's shared memory is a disk of 64 MB.
    name = image(f"FROM {engine}\nENV TMPDIR=/dev/shm\n")
    with Lab(f"container:{name}", start_timeout=60) as lab:
        with lab.serve("flask"):
            fill = "cat /dev/zero >/dev/shm/fill 2>/dev/null; true"
            ask("exec", mine.name(), "sh", "-c", fill)
        with pytest.raises(WinserveError, match=r"(?i)no space left on device"):
            lab.serve("nginx4")
        ask("exec", mine.name(), "rm", "/dev/shm/fill")  # noqa: S108
        with lab.serve("nginx4") as site:
            assert site.get("/test").status_code == 200


# -- what may be wrong with an engine or an image --------------------------------------------------


def refused(host: str = "container") -> str:
    """Why the host cannot be used, as `doctor` and a lab say it."""
    with pytest.raises(MissingComponent) as missing:
        ContainerMachine(host.partition(":")[2]).ready()
    with pytest.raises(MissingComponent) as same:
        Lab(host).serve("flask")
    assert str(same.value) == str(missing.value)
    return str(missing.value)


def test_no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused()
    assert said.startswith(
        "container: there is no command docker on the PATH\n  to get it: sudo ap"
    )


def test_no_engine(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, address in enumerate([f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:9"]):
        monkeypatch.setenv("DOCKER_HOST", address)
        said = refused()
        assert said.startswith("container: no Docker engine answers: "), number
        assert address in said
        assert "to get it: sudo systemctl start docker" in said


def test_a_user_who_may_not(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        docker = tmp_path / "docker"
        found = ask("version") and os.environ["PATH"]
        text = f'#!/bin/sh\nPATH="{found}"\nexec setpriv --reuid=65534 --clear-groups docker "$@"\n'
        docker.write_text(text)
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{found}")
        monkeypatch.setenv("HOME", "/nonexistent")  # its configuration is not that user's to read
    else:
        import socket

        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(f"{tmp_path}/docker.sock")
            Path(tmp_path, "docker.sock").chmod(0)
            monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    said = refused()
    assert said.startswith("container: this user may not use the Docker engine: ")
    assert 'to get it: sudo usermod -aG docker "$USER"' in said


def test_an_image_that_is_not_there(mine: Containers) -> None:
    said = refused("container:no/such:image")
    assert said == "container: no image no/such:image here\n  to get it: docker pull no/such:image"


def test_no_lab_image_of_this_version(mine: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_winserve.docker import engine

    monkeypatch.setattr(engine, "fingerprint", lambda: "0123456789ab")
    said = refused()
    assert "the lab image of this version is not there\n  to get it: winserve setup conta" in said


def test_an_image_without_python(mine: Containers, image: Image) -> None:
    name = image("FROM scratch\nLABEL empty=yes\n")
    with pytest.raises(MissingComponent) as missing:
        Lab(f"container:{name}").serve("flask")
    said = str(missing.value)
    assert said.startswith(f"container: there is no python3 in the image {name}\n")
    assert "pip install pytest-winserve==" in said


def test_an_image_without_the_package(mine: Containers, engine: str, image: Image) -> None:
    name = image(f"FROM {engine}\nENV PYTHONPATH=/nowhere\n")
    with pytest.raises(MissingComponent) as missing:
        Lab(f"container:{name}").serve("flask")
    assert "No module named 'pytest_winserve'" in str(missing.value)
    assert f"in the image {name}: pip install pytest-winserve==" in str(missing.value)


def test_an_image_with_another_version(mine: Containers, engine: str, image: Image) -> None:
    file = "/opt/winserve/package/pytest_winserve/version.py"
    name = image(
        f"FROM {engine}\nRUN sed -i 's/^__version__ = .*/__version__ = \"0.0.9\"/' {file}\n"
    )
    with pytest.raises(MissingComponent) as missing:
        Lab(f"container:{name}").serve("flask")
    assert re.search(r"pytest-winserve is 0\.0\.9 \(\w+\) over there, but ", str(missing.value))


def test_an_image_of_ones_own(mine: Containers, engine: str, image: Image, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # that user is to read it
    name = image(f'FROM {engine}\nENTRYPOINT ["/bin/false"]\nUSER www-data\n')
    with Lab(f"container:{name}").serve("nginx1") as site:
        assert site.get("/test").status_code == 200
        assert ask("exec", mine.name(), "id", "-un") == "www-data"
