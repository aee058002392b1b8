"""How threads of the lab tell one another something in a process that runs somebody's app.

An app may patch `threading` while it is imported, as gevent's monkey.patch_all() does. Its events
and threads then belong to greenlets, and the lab's own threads are none. What is here is imported
before the app, and is the system's own.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident, start_new_thread

__all__ = ["Flag", "get_ident", "start_new_thread"]


class Flag:
    """Down until one thread sets it; others can wait for that."""

    def __init__(self) -> None:
        self._is_set = False
        self._down = allocate_lock()
        self._down.acquire()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Set it; at most once."""
        self._is_set = True
        self._down.release()

    def wait(self, seconds: float = -1) -> bool:
        """Whether it is set, after at most so many seconds; without a number, for as long as it
        takes."""
        if self._down.acquire(timeout=seconds):
            self._down.release()
        return self._is_set
