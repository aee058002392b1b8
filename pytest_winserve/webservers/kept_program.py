"""A program of somebody else's that a backend process runs and keeps, such as Apache."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_winserve.errors import StartError
from pytest_winserve.system.program import describe_exit

STOP_SECONDS = 1.0
LOOK_EVERY = 0.02


class Kept:
    """A program that runs. What it writes into its log is passed on to this process's own.

    `quit_command` asks it to stop where a signal cannot.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        log: Path,
        quit_command: Callable[[], list[str] | None],
    ) -> None:
        """Start it in `folder`. Raises StartError when there is no such program."""
        self._name = name
        self._folder = folder
        self._log = log
        self._quit_command = quit_command
        self._stopping, self._ended = threading.Event(), threading.Event()
        try:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=folder)
        except OSError as error:
            raise StartError(f"cannot start {name}: {error}") from None
        self._follower = threading.Thread(target=self._follow, daemon=True, name=f"{name}-log")
        self._follower.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_until(self, ready: Callable[[], bool], patience: float, what: str = "listen") -> None:
        """Return when it is `ready`. Raises StartError when it ends before, or did not do `what`
        in `patience` seconds."""
        deadline = time.perf_counter() + patience
        while not ready():
            code = self._child.poll()
            if code is not None:
                self._end()
                raise StartError(f"{self._name} {describe_exit(code)} while starting")
            if time.perf_counter() > deadline:
                raise StartError(f"{self._name} did not {what} in {patience:.3g} s")
            time.sleep(LOOK_EVERY)

    def serve(self) -> None:
        """Return when it was stopped. Raises StartError when it ended otherwise."""
        code = self._child.wait()
        self._end()
        if not self._stopping.is_set():
            raise StartError(f"{self._name} (pid {self.pid}) {describe_exit(code)} unasked")

    def stop(self) -> None:
        """Ask it to stop, and end what does not."""
        import psutil

        from pytest_winserve.system.process_tree import alive, kill

        self._stopping.set()
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            family = [*root.children(recursive=True), root]
            self._ask_to_stop()
            self._ended.wait(STOP_SECONDS)
            left = [process for process in family if alive(process)]
            if left:
                sys.stderr.write("winserve: stopped with requests still running\n")
                kill(left, STOP_SECONDS)
                self._ended.wait(STOP_SECONDS)

    def _ask_to_stop(self) -> None:
        command = self._quit_command()
        if command is None:
            self._child.terminate()
        else:
            subprocess.run(command, cwd=self._folder, check=False, capture_output=True)

    def _end(self) -> None:
        """It has ended: take the rest of its log."""
        self._ended.set()
        self._follower.join()

    def _follow(self) -> None:
        while not self._log.exists():
            if self._ended.wait(LOOK_EVERY):
                return
        with self._log.open("r", encoding="utf-8", errors="replace") as file:
            while True:
                last = self._ended.is_set()  # asked before the reading, so that no end is missed
                sys.stderr.write(file.read())
                if last:
                    return
                self._ended.wait(LOOK_EVERY)
