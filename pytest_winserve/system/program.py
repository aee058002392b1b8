"""The one process core: start a program, watch it, stop it, and judge how it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pytest_winserve.errors import StartError
from pytest_winserve.system.keeper import Keeper

TAIL_BYTES = 4000


@dataclass(slots=True)
class Program:
    """A program and what it leaves behind: `output` is its standard output, `log` its errors.

    It is the leader of a session of its own (on Windows: a process group), so that Ctrl-C reaches
    the lab only. Its standard input is a pipe; a backend ends when that closes.
    """

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    cwd: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def output(self) -> Path:
        return self.folder / f"{self.name}.out"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self, keeper: Keeper) -> None:
        """Start it and have it kept. Raises StartError when there is no such program."""
        with self.output.open("wb") as out, self.log.open("wb") as err:
            try:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=out,
                    stderr=err,
                    env=dict(self.environment),
                    cwd=self.cwd,
                    start_new_session=sys.platform != "win32",
                    creationflags=keeper.creation_flags,
                )
            except OSError as error:
                raise StartError(f"{self.name}: cannot start {self.command[0]}: {error}") from None
        keeper.adopt(self._process)

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def exit_code(self) -> int | None:
        """Its exit status, None while it runs. Negative: the signal that killed it."""
        return None if self._process is None else self._process.poll()

    def death(self) -> str | None:
        """How it died, if it is not running; None while it runs."""
        code = self.exit_code()
        if code is None:
            return None
        return f"{self.name} (pid {self.pid}) {describe_exit(code)}"

    def tell(self, line: str) -> None:
        """Write a line to its standard input; a program that died meanwhile is found elsewhere."""
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return

    def ask_to_stop(self) -> None:
        """Close its standard input: what a backend of the lab understands everywhere."""
        assert self._process is not None
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            try:
                stdin.close()
            except OSError:
                return  # it is gone already

    def terminate(self) -> None:
        """Ask with the system's own means: SIGTERM, on Windows the end of the process."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, seconds: float) -> int | None:
        """Its exit status, or None when it still runs after `seconds`."""
        assert self._process is not None
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once, and take its status."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)

    def tail(self, size: int = TAIL_BYTES) -> str:
        """The end of its log."""
        return tail(self.log, size)

    def blame(self, what: str) -> str:
        """An error text: what happened, the command, and the end of the log."""
        end = self.tail().rstrip() or "(it wrote nothing)"
        command = subprocess.list2cmdline(self.command)
        return f"{what}\n  command: {command}\n  the end of its log:\n{indent(end)}"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the performance counter's clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.perf_counter() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then; never negative."""
        return max(0.0, self.at - time.perf_counter())


def describe_exit(code: int) -> str:
    """`exited with status 1`, `was killed by signal 9 (SIGKILL)`"""
    if code >= 0:
        return f"exited with status {code}"
    import signal

    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"


def tail(path: Path, size: int = TAIL_BYTES, start: int = 0) -> str:
    """The last `size` bytes of a file as text, from the byte `start` on at the earliest."""
    try:
        file: IO[bytes]
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - size))
            cut = file.tell() > start
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return f"...{text}" if cut and text else text


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
