"""What a test starts, found again: its processes, ports and folders."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.settings import SETTINGS
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.ports import ADDRESS
from pytest_winserve.system.process_tree import alive, describe, environment, kill
from tests.kit.platforms import WINE
from tests.kit.waiting import eventually

MARK = "TEST_MARK_OF_WINSERVE"
GONE_SECONDS = 2.0
TABLES = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
LISTENS = " 0A "
"""The state of a socket that listens, in Linux' table."""
KIT = Path(__file__).parent
"""From here backends import the apps of `tests/kit/apps`."""


@dataclass(slots=True)
class Traces:
    """Everything that one test started.

    Processes inherit the test's own environment mark. nginx overwrites its environment with its
    title, but its current folder is the lab's, which lies in the test's own temporary folder.
    `killed` is for a test that kills the lab and its guard, or a lab on another machine: the next
    lab removes the folder then.
    """

    temp: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    ports: set[int] = field(default_factory=set)
    killed: bool = False

    def processes(self) -> list[psutil.Process]:
        """Those that live."""
        return [each for each in psutil.process_iter() if self._mine(each)]

    def lines(self) -> list[str]:
        """The command lines of those that live."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):  # it may end at any moment
                found.append(" ".join(process.cmdline()))
        return found

    def _mine(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        with suppress(psutil.Error, OSError):
            if not alive(process):
                return False
            if environment(process).get(MARK) == self.mark:
                return True
        with suppress(psutil.Error, OSError):
            return Path(process.cwd()).is_relative_to(self.temp)
        return False

    def look(self) -> set[int]:
        """Remember the ports on which they listen now; returns all that were ever seen."""
        if not WINE:  # it does not tell who listens
            self.ports |= listening(self.processes())
        return self.ports

    def folders(self) -> list[str]:
        """The lab's temporary folders."""
        shared = f"winserve-{getpass.getuser()}"
        return [path.name for path in self.temp.glob("winserve-*") if path.name != shared]

    def nothing_started(self) -> None:
        """No process, and not even a folder made for one."""
        assert self.processes() == []
        assert self.folders() == []

    def gone(self, seconds: float = GONE_SECONDS) -> None:
        """Wait until no process and no port is left; fails after two seconds."""
        eventually(lambda: not self.left(), seconds=seconds, otherwise=self.left)
        if not self.killed:
            assert self.folders() == []

    def left(self) -> list[str]:
        """The processes and ports that are left."""
        return told(self.processes(), filter(answered, self.ports))


def told(processes: Iterable[psutil.Process], ports: Iterable[int]) -> list[str]:
    """Processes and ports, in words."""
    return [describe(each) for each in processes] + [f"port {port}" for port in sorted(ports)]


def listening(processes: Iterable[psutil.Process]) -> set[int]:
    """The ports on which they listen.

    On Linux the tables of all connections are read once, not by each process: after a few loads
    they have thousands that linger.
    """
    if TABLES[0].exists():
        mine = {inode for process in processes for inode in sockets_of(process)}
        text = "".join(table.read_text() for table in TABLES if table.exists())
        rows = [line.split() for line in text.splitlines() if LISTENS in line]
        return {int(row[1].partition(":")[2], 16) for row in rows if row[9] in mine}
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            connections = process.net_connections("tcp")
            found |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return found


def sockets_of(process: psutil.Process) -> set[str]:
    """The inodes of its sockets, on Linux."""
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):
                found |= set(re.findall(r"^socket:\[(\d+)]$", str(link.readlink())))
    return found


def answered(port: int) -> bool:
    """Whether somebody listens there. To bind it would not tell: connections that linger after a
    killed server keep its port for a minute."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((ADDRESS, port)) == 0


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Marks what the test starts, and checks at its end that nothing of it is left."""
    temp = tmp_path / "temp"
    temp.mkdir()
    with suppress(OSError):  # Windows may forbid it; loads then do not wait for other tests'
        (temp / f"winserve-{getpass.getuser()}").symlink_to(shared_folder(), True)
    traces = Traces(temp)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(temp))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    monkeypatch.setenv(MARK, traces.mark)
    monkeypatch.setenv("PYTHONPATH", str(KIT), prepend=os.pathsep)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.syspath_prepend(str(KIT))
    monkeypatch.chdir(tmp_path)
    yield traces
    try:
        traces.gone()
    finally:
        kill(traces.processes())


Serve = Callable[..., Site]


@pytest.fixture
def serve(traces: Traces) -> Serve:
    """`Lab(...).serve`, with the site's ports remembered; the lab's arguments come by keyword."""

    def serve(
        topology: str, app: str = "pytest_winserve.sample_app:app", *, nginx: str = "auto",
        start_timeout: float = 30.0, **more: Any,
    ) -> Site:  # fmt: skip
        site = Lab(nginx=nginx, start_timeout=start_timeout).serve(topology, app, **more)
        traces.ports.add(site.deployment.address[1])
        traces.look()
        return site

    return serve
