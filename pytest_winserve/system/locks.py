"""The folder that all runs of a user share, and the machine's measuring lock."""

from __future__ import annotations

import getpass
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def shared_folder() -> Path:
    """The folder that all runs of this user on this machine share."""
    folder = Path(tempfile.gettempdir()) / f"winserve-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def measuring(on_wait: Callable[[float], None] | None = None) -> Iterator[float]:
    """Hold this machine's measuring lock; gives the seconds spent waiting for it.

    Two measurements at a time would measure each other. `on_wait` is called with the seconds
    waited so far, about twice a second, while another process holds the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(shared_folder() / "measuring.lock", thread_local=False)
    begun = time.perf_counter()
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if on_wait is not None:
                on_wait(time.perf_counter() - begun)
    try:
        yield time.perf_counter() - begun
    finally:
        lock.release()
