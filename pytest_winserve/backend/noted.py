"""What is noted of a process when its app is loaded, since the app's and the server's could not be
told apart later: the threads that are there, and on Linux the child processes. And what could not
be asked later: whether a connection is to a database in memory."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.backend.databases import connection_in_memory

if TYPE_CHECKING:
    from pytest_winserve.system.ports import Address


class Noted:
    """What was noted when the app was loaded, and before its server was there."""

    def __init__(
        self, app: object, backend: int, salt: str, server: str,
        own_addresses: Callable[[], Iterable[Address]] | None,
    ) -> None:  # fmt: skip
        self.app = app
        self.backend = backend
        self.salt = salt
        self.server = server
        self.own_addresses = own_addresses
        self.threads = set(made_threads())
        self.children = self.children_of_server = children_of(os.getpid())
        self.connection_in_memory: bool | None = None
        with suppress(Exception):  # whatever an app has made of Python, it is served
            self.connection_in_memory = connection_in_memory()


def made_threads() -> list[threading.Thread]:
    """The threads that were made by Python code, without the main thread."""
    main, foreign = threading.main_thread(), threading._DummyThread
    return [t for t in threading.enumerate() if t is not main and not isinstance(t, foreign)]


def children_of(pid: int) -> set[int] | None:
    """The child processes; None where that is not known without another package."""
    if sys.platform != "linux":
        return None
    found: set[int] = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with suppress(FileNotFoundError, ProcessLookupError):
                found |= set(
                    map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
                )
    except OSError:
        return None
    return found
