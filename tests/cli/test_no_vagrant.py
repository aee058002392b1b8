"""Where there is no Vagrant, the lab says so in its own words, and only who asks is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.fixtures import SLOW

pytestmark = pytest.mark.usefixtures("traces")

COMPLAINT = "The Vagrant executable cannot be found"
"""What python-vagrant writes when it is imported."""


@pytest.fixture(autouse=True)
def _no_vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("vagrant", reason="python-vagrant is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_doctor_says_it_once() -> None:
    done = winserve("doctor")
    assert done.status == 0, done.err
    assert "host: there is no program `vagrant` on the PATH" in done.out
    assert COMPLAINT not in done.out + done.err


@needs("minutes")
@pytest.mark.parametrize("host", ["local", "vagrant"])
def test_a_check(host: str) -> None:
    Path("Vagrantfile").touch()
    done = winserve(
        "check", "flask", "--host", host, "--slow", SLOW, "--users", "1", "--duration", "0.2"
    )
    assert done.status == {"local": 0, "vagrant": 3}[host], done.out + done.err
    assert COMPLAINT not in done.out + done.err
