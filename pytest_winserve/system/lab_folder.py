"""Folders of labs in the system's temporary folder, which do not outlive their lab for long.

A lab holds the lock on a file in its folder. The system frees the lock when the lab ends, whatever
ends it, so a folder whose lock is free is one of a dead lab, and the next lab to start removes it.
The lock is seen by all processes of the machine, also by those of other containers.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PREFIX = "winserve-"
HOLD = "held-by-a-lab"
FAR = 1 << 20
"""Where the lock of Windows is: nobody can read what it covers."""
TRIES = 20


@dataclass(frozen=True, slots=True)
class LabFolder:
    """A folder of this lab."""

    path: Path
    _hold: IO[bytes]

    @classmethod
    def make(cls, what: str = "") -> LabFolder:
        """A new one, with `what` in its name. Removes those of dead labs first."""
        remove_dead()
        path = Path(tempfile.gettempdir()) / f"{PREFIX}{what}{secrets.token_hex(8)}"
        hold = None
        # Ctrl-C may come at any moment of this.
        try:
            path.mkdir(mode=0o700)
            hold = (path / HOLD).open("xb", buffering=0)
            # Without the mark nobody else removes it. It is written when the lock is held: between
            # a file and its lock is a moment in which others find the lock free.
            with suppress(OSError):  # of a file system without locks or without room
                lock(hold, wait=True)
                hold.write(mark())
            return cls(path, hold)
        except FileExistsError:  # it is not ours
            raise
        except BaseException:
            if hold is not None:
                hold.close()
            shutil.rmtree(path, ignore_errors=True)
            raise

    def remove(self) -> None:
        remove(self.path, self._hold)


def remove_dead() -> None:
    """Remove this user's folders of dead labs."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for path in [Path(entry.path) for entry in entries if _is_own(entry)]:
            with suppress(OSError), _opened(path / HOLD) as hold:  # or the lab lives
                lock(hold, wait=False)
                if hold.read() == mark():
                    remove(path, hold)


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, no link to one, and this user's."""
    with suppress(OSError):
        if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
            return sys.platform == "win32" or entry.stat().st_uid == os.getuid()
    return False


def _opened(path: Path) -> IO[bytes]:
    """A file, which is no link to one. OSError when there is none."""
    return os.fdopen(os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)), "r+b", buffering=0)


def remove(path: Path, hold: IO[bytes]) -> None:
    """Remove a folder whose lock is held by this process."""
    if sys.platform == "win32":
        # It removes no file that is open, here or where another lab starts and looks at it.
        hold.close()
        for _ in range(TRIES):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                break
            time.sleep(0.05)
    else:
        shutil.rmtree(path, ignore_errors=True)
        hold.close()


def lock(hold: IO[bytes], *, wait: bool) -> None:
    """Take the lock, which goes when the file is closed. OSError when another process has it."""
    if sys.platform == "win32":
        import msvcrt

        hold.seek(FAR)
        msvcrt.locking(hold.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        hold.seek(0)
    else:
        import fcntl

        fcntl.flock(hold, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def mark() -> bytes:
    """Names this machine since its start, and this user on it: of another machine with the same
    temporary folder nobody here sees the locks."""
    if sys.platform == "linux":
        machine = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    else:
        machine = socket.gethostname()
    if sys.platform == "win32":
        import getpass

        return f"{machine} {getpass.getuser()}\n".encode()
    return f"{machine} {os.getuid()}\n".encode()
