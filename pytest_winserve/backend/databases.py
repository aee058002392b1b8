"""Whether a process has an SQLite database in memory.

To ask a connection for its database uses it, and the process ends by SIGSEGV where another thread
closes it meanwhile. So connections are asked once, when the app is loaded and no request is there
yet. Of SQLAlchemy's engines only the name is read, at any time.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress
from typing import Any

WAITING = {
    ("threading", "wait"), ("selectors", "select"), ("concurrent.futures.thread", "_worker")
}  # fmt: skip
"""Modules and functions: a thread whose innermost code is one of these waits for another one, for a
socket or for a job."""

SECONDS_TO_SETTLE = 1.0
"""How long a thread that the app has started may be at work until it waits."""


def connection_in_memory() -> bool | None:
    """Whether an open connection of `sqlite3` is to a database in memory, to be asked when the app
    is loaded. None where that is not known: one is open, and another thread is at work.

    A connection that another thread has made for itself does not count.
    """
    sqlite = sys.modules.get("sqlite3")
    if sqlite is None:
        return False
    end = time.monotonic() + SECONDS_TO_SETTLE
    while connections := _all_of(sqlite.Connection):
        if _others_wait():
            return any(_is_in_memory(each, sqlite) for each in connections)
        if time.monotonic() > end:
            return None
        connections.clear()  # what is kept here is not closed when the app has left it
        time.sleep(SECONDS_TO_SETTLE / 20)
    return False


def engine_in_memory() -> bool:
    """Whether an engine of SQLAlchemy is for a database in memory."""
    sqlalchemy = sys.modules.get("sqlalchemy.engine")
    # What is not there yet, another thread makes at the moment.
    engine = getattr(sqlalchemy, "Engine", None)
    if engine is None:
        return False
    urls = (getattr(each, "url", None) for each in _all_of(engine))
    return any(
        url is not None and url.drivername.startswith("sqlite") and in_memory(url.database)
        for url in urls
    )


def in_memory(database: str | None) -> bool:
    """Whether SQLAlchemy's name of an SQLite database is that of one in memory."""
    return not database or ":memory:" in database or "mode=memory" in database


def _all_of(kind: type) -> list[Any]:
    # By its type, since isinstance() asks a proxy for what it stands.
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def _others_wait() -> bool:
    own = sys._getframe()  # by the number of its thread gevent's threads could not be told apart
    return all(
        frame is own or (frame.f_globals.get("__name__"), frame.f_code.co_name) in WAITING
        for frame in sys._current_frames().values()
    )


def _is_in_memory(connection: Any, sqlite: Any) -> bool:
    with suppress(sqlite.Error):
        # A cursor of its own: the app's may make other rows.
        rows = sqlite.Cursor(connection).execute("PRAGMA database_list").fetchall()
        return any(row[1] in ("main", b"main") and not row[2] for row in rows)
    return False
