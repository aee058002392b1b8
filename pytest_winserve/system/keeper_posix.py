"""The keeper of POSIX systems: a guard process, told of every process that is started."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# `tree`, and with it psutil, is imported where a site is stopped: it is up sooner without them.

DISMISS_SECONDS = 5.0


class GuardKeeper:
    """See `pytest_winserve.system.guard`, which is the process that it runs."""

    creation_flags = 0

    def __init__(self, tag: str, folder: Path | None) -> None:
        self._tag = tag
        self._leaders: list[int] = []
        self._known: list[psutil.Process] = []
        folders = [] if folder is None else [str(folder)]
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "pytest_winserve.system.guard", tag, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ,
            start_new_session=True,
        )

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        self._leaders.append(process.pid)
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"+{process.pid}\n")
        self._guard.stdin.flush()

    def take_stock(self) -> None:
        from pytest_winserve.system.process_tree import members

        self._known = members(self._tag, self._leaders)

    def families(self) -> dict[int, list[int]]:
        import psutil

        if sys.platform == "win32":
            raise AssertionError("Windows has a keeper of its own")
        found: dict[int, list[int]] = {leader: [] for leader in self._leaders}
        for pid in psutil.pids():
            with suppress(ProcessLookupError, PermissionError):
                # Each was started as the leader of a session, which all that it starts is in.
                session = os.getsid(pid)
                if session in found:
                    found[session].append(pid)
        return found

    def members(self) -> list[psutil.Process]:
        from pytest_winserve.system.process_tree import alive, members

        known = [process for process in self._known if alive(process)]
        return list(dict.fromkeys([*known, *members(self._tag, self._leaders)]))

    def dismiss(self) -> list[str]:
        assert self._guard.stdin is not None
        try:
            self._guard.stdin.write("done\n")
            self._guard.stdin.close()
        except OSError:
            return ["the guard process had died before the site was stopped"]
        finally:
            try:
                self._guard.wait(DISMISS_SECONDS)
            except subprocess.TimeoutExpired:
                self._guard.kill()
                self._guard.wait()
        return []
