"""Fixtures of the whole suite: a lab, locks of a test's own, what this Python has."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pytest_winserve import Lab, Site
from pytest_winserve.deployment.processes import Processes
from pytest_winserve.errors import MissingComponent
from pytest_winserve.fronts import get_front
from pytest_winserve.servers import get_server, require_server
from pytest_winserve.topology import Topology

# How long an example takes says nothing on a busy machine.
settings.register_profile("suite", deadline=None)

SLOW = "/sleep?seconds=1"
"""What a fast request waits for on a busy machine is less than a fifth of it."""


def pytest_configure() -> None:
    settings.load_profile("suite")


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of this run, which all its workers share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def _temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary folder of this run: labs have their folders and locks there, so that no other run
    is waited for. Of its workers each second one shares it: no more than two send loads at the same
    time, which counts bear, as they bear two runs, and nobody waits for long."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    folder = run_folder(tmp_path_factory) / f"temp{number % 2}"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "TEMP", "TMP"):
            patch.setenv(name, str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WINSERVE_") or name == "VIRTUAL_ENV":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks that no other run on this machine takes, also for the processes of this test."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def able(topology: str) -> None:
    """Skips the test where this Python does not have the topology's server."""
    try:
        require_server(get_server(Topology.parse(topology).server), sys.platform)
    except MissingComponent as missing:
        pytest.skip(str(missing))


@pytest.fixture
def nginx() -> Path:
    """The real nginx."""
    try:
        return get_front("nginx").find("auto").path
    except MissingComponent as missing:
        pytest.skip(str(missing))


def folder_of(site: Site) -> Path:
    """Where the files of a site on this machine are."""
    assert isinstance(site.deployment, Processes)
    return site.deployment._folder
