"""Runs tsung, and leaves nothing of it behind: no Erlang VM, no port mapper (epmd), no files.

The VM finds other nodes through epmd, which it would start as a daemon that stays for good. So it
gets an epmd of its own, on a port of its own, and an epmd that was there before is not touched. A
guard process ends all of it when this process is killed (`pytest_winserve.system.keeper`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from pytest_winserve.errors import LoadError, MissingComponent, UsageError
from pytest_winserve.load.recording.foreign_programs import end
from pytest_winserve.system.keeper import new_keeper
from pytest_winserve.system.ports import ADDRESS, ClaimedPort, claim_port
from pytest_winserve.system.process_tag import TAG_VARIABLE
from pytest_winserve.system.program import Program, describe_exit, indent, tail

INSTALL = "sudo apt-get install tsung   (Debian 13 has none, see docs/engines.md)"
LOOK_EVERY = 0.1
WINDOW = 1.0
"""Seconds of tsung's statistics windows here (`dumpstats_interval`); tsung's own are 10 s."""


def find_tsung() -> Path:
    """The program. UsageError where tsung never runs, MissingComponent where it is missing."""
    if sys.platform == "win32":
        raise UsageError(
            "the engine tsung does not run here: there is no tsung for Windows; take builtin"
        )
    for name in ("tsung", "erl", "epmd"):
        if shutil.which(name) is None:
            raise MissingComponent("tsung", f"there is no program {name!r} on the PATH", INSTALL)
    found = shutil.which("tsung")
    assert found is not None
    return Path(found)


@dataclass(frozen=True, slots=True)
class Node:
    """A run of tsung that was started. `folder` is where it writes."""

    program: Program
    folder: Path

    @property
    def log(self) -> Path | None:
        """tsung.log, once there is one."""
        return next(self.folder.glob("*/tsung.log"), None)

    @property
    def full(self) -> Path | None:
        """tsung-fullstats.log, once there is one."""
        return next(self.folder.glob("*/tsung-fullstats.log"), None)

    def said(self) -> str:
        """The end of what tsung wrote to its output and into the controller's log."""
        parts = [tail(self.program.output, 2000), tail(self.program.log, 2000)]
        parts += [tail(path, 2000) for path in self.folder.glob("*/tsung_controller*.log")]
        text = "\n".join(part.strip() for part in parts if part.strip())
        return indent(text or "(it wrote nothing)")

    def follow(self, longest: float) -> Iterator[float]:
        """Until it has ended: its CPU in cores over about each second that passes.

        LoadError when it ends with a status that is not 0, or not within `longest` seconds.
        """
        deadline = perf_counter() + longest
        cpu = _Cpu(self.program.pid)
        while (code := self.program.exit_code()) is None:
            if perf_counter() > deadline:
                raise LoadError(f"tsung did not end in {longest:.0f} s\n{self.said()}")
            self.program.wait(LOOK_EVERY)
            used = cpu.look()
            if used is not None:
                yield used
        if code != 0:
            raise LoadError(f"tsung {describe_exit(code)}\n{self.said()}")


class _Cpu:
    """CPU time over wall time of the VM below a process, about once a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._at = perf_counter()
        self._used: float | None = None

    def look(self) -> float | None:
        now = perf_counter()
        passed = now - self._at
        if passed < WINDOW:
            return None
        before, self._at, self._used = self._used, now, 0.0
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._pid).children(recursive=True):
                times = process.cpu_times()
                self._used += times.user + times.system
        return 0.0 if before is None else max(0.0, self._used - before) / passed


@contextlib.contextmanager
def running(config: Path, folder: Path, *, distributed: bool) -> Iterator[Node]:
    """tsung with this configuration, started; everything of it is ended on the way out.

    `distributed`: nodes on other machines look for the usual epmd and need a range of ports, so
    both are tsung's defaults then. MissingComponent and UsageError as `find_tsung`.
    """
    program = find_tsung()
    tag = f"tsung{secrets.token_hex(6)}"
    keeper = new_keeper(tag, folder)
    ports: list[ClaimedPort] = []
    programs: list[Program] = []

    def start(name: str, *command: str) -> Program:
        made = Program(name, command, folder, environment, folder)
        made.start(keeper)
        programs.append(made)
        return made

    environment = {
        **os.environ,
        TAG_VARIABLE: tag,
        "HOME": str(folder),  # the script makes a folder there, and Erlang a cookie
        "ERL_FLAGS": f"-tsung_controller dumpstats_interval {WINDOW * 1000:.0f}",
    }
    private: Sequence[str] = ()
    try:
        if not distributed:
            ports += [claim_port(), claim_port()]
            mapper, node = (str(port.number) for port in ports)
            environment["ERL_EPMD_PORT"] = mapper
            epmd = shutil.which("epmd")
            assert epmd is not None
            start("epmd", epmd, "-port", mapper, "-address", ADDRESS)
            private = ("-t", node, "-T", node)
        where = ("-f", str(config), "-l", str(folder))
        yield Node(start("tsung", str(program), *where, "-n", "-i", tag, *private, "start"), folder)
    finally:
        end(keeper, programs, "tsung")
        for port in ports:
            port.release()
