"""What a test starts, found again: its processes, ports and folders."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from platforms import WINE

from pytest_winserve import Lab, Site
from pytest_winserve.errors import MissingComponent
from pytest_winserve.ports import ADDRESS, shared_folder
from pytest_winserve.servers import get_server, require_server
from pytest_winserve.settings import SETTINGS
from pytest_winserve.topology import Topology
from pytest_winserve.tree import describe

MARK = "WINSERVE_TEST_MARK"
GONE_SECONDS = 2.0
SUITE = Path(__file__).parents[1]


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

    def _mine(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        with suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.environ().get(MARK) == self.mark:
                return True
        with suppress(psutil.Error, OSError):
            return Path(process.cwd()).is_relative_to(self.temp)
        return False

    def look(self) -> set[int]:
        """Remember the ports on which they listen now; returns all that were ever seen."""
        for process in [] if WINE else self.processes():  # it does not tell who listens
            with suppress(psutil.Error):
                self.ports |= {
                    c.laddr.port
                    for c in process.net_connections("tcp")
                    if c.status == psutil.CONN_LISTEN
                }
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
        deadline = time.perf_counter() + seconds
        while True:
            processes = self.processes()
            ports = sorted(filter(answered, self.ports))
            if not processes and not ports:
                break
            if time.perf_counter() > deadline:
                names = [describe(process) for process in processes]
                pytest.fail(f"left after {seconds:g} s: {names}, ports {ports}")
            time.sleep(0.02)
        if not self.killed:
            assert self.folders() == []


def answered(port: int) -> bool:
    """Whether somebody listens there. To bind it would not tell: connections that linger after a
    killed server keep its port for a minute."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex((ADDRESS, port)) == 0


@pytest.fixture(autouse=True)
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
    monkeypatch.setenv("PYTHONPATH", str(SUITE), prepend=os.pathsep)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.syspath_prepend(str(SUITE))
    monkeypatch.chdir(tmp_path)
    yield traces
    try:
        traces.gone()
    finally:
        for process in traces.processes():
            process.kill()


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


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and all that it wrote."""

    status: int
    out: str
    err: str


@dataclass(slots=True)
class Started:
    """A command that runs; its output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        return self.output.read_text("utf-8", "replace")

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Return when it has written `text`."""
        self.until(lambda: text in self.text(), f"never wrote {text!r}", seconds)

    def until(self, true: Callable[[], bool], otherwise: str, seconds: float = 60.0) -> None:
        deadline = time.perf_counter() + seconds
        while not true():
            ended = self.process.poll() is not None
            if (ended and not true()) or time.perf_counter() > deadline:
                pytest.fail(f"{otherwise}; status {self.process.poll()}:\n{self.text()}")
            time.sleep(0.02)


def run(*arguments: str | Path, seconds: float = 120.0) -> Done:
    """Run the command line tool that the first argument names in the current folder to its end."""
    done = subprocess.run(
        command_line(arguments), capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
    return Done(
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


def winserve(*arguments: str | Path) -> Done:
    """Run the command `winserve` to its end."""
    return run("winserve", *arguments)


def run_pytest(*arguments: str | Path) -> Done:
    """Run pytest on the current folder to its end; warnings are errors in it."""
    return run("pytest", *PYTEST_OPTIONS, *arguments)


PYTEST_OPTIONS = ("-p", "no:cacheprovider", "-W", "error", "--rootdir", ".")


def command_line(arguments: tuple[str | Path, ...]) -> list[str]:
    """What the script of that name does, with this Python."""
    tool, *rest = map(str, arguments)
    code = {
        "winserve": "from pytest_winserve.cli import main; main()",
        "pytest": "import sys, pytest; sys.exit(pytest.console_main())",
    }[tool]
    return [sys.executable, "-c", code, *rest]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start a tool in a process group of its own; it is killed at the test's end."""
    all_started: list[Started] = []

    def start(*arguments: str | Path) -> Started:
        output = tmp_path / f"output-{len(all_started)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command_line(arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        all_started.append(Started(process, output))
        return all_started[-1]

    yield start
    for each in all_started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


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
    from pytest_winserve.errors import MissingComponent
    from pytest_winserve.fronts import get_front

    try:
        return get_front("nginx").find("auto").path
    except MissingComponent as missing:
        pytest.skip(str(missing))
