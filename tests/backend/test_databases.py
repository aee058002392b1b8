"""Which of an app's SQLite databases are in memory, and that none is used while others use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_winserve.backend.databases import engine_in_memory, in_memory

LOADED = """
from pytest_winserve.backend.databases import connection_in_memory
print(connection_in_memory())
"""
WAITS = """
import threading
from concurrent.futures import ThreadPoolExecutor
over = threading.Event()
pool = ThreadPoolExecutor()
pool.submit(int).result()
threading.Thread(target=over.wait, daemon=True).start()
"""
WORKS = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
OWN_ROWS = """
import sqlite3
kept = sqlite3.connect(":memory:")
kept.row_factory, kept.text_factory = sqlite3.Row, bytes
"""
OF_ANOTHER_THREAD = """
import sqlite3, threading
def own():
    connection = sqlite3.connect(":memory:")
    made.set()
    threading.Event().wait()
made = threading.Event()
threading.Thread(target=own, daemon=True).start()
made.wait()
"""
OPENED_AND_CLOSED = """
import sqlite3, sys, threading
from pathlib import Path
from pytest_winserve.backend.noted import Noted
from pytest_winserve.backend.own_state import look

def requests():
    while not over.is_set():
        connection = sqlite3.connect(sys.argv[1], check_same_thread=False)
        connection.execute("SELECT * FROM sqlite_master").fetchall()
        connection.close()

noted, over = Noted(None, 0, "", "", None), threading.Event()
threads = [threading.Thread(target=requests, daemon=True) for _ in range(8)]
for thread in threads:
    thread.start()
for _ in range(int(sys.argv[2])):
    look(noted)
over.set()
for thread in threads:
    thread.join()
print(look(noted).memory_database)
"""
LOOKS = 100


def printed(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("app", "found"),
    [
        ("", "False"),
        ("import sqlite3", "False"),
        ("import sqlite3; kept = sqlite3.connect('file.db')", "False"),
        ("import sqlite3; kept = sqlite3.connect(':memory:')", "True"),
        ("import sqlite3; kept = sqlite3.connect('')", "True"),
        ("import sqlite3; kept = sqlite3.connect('file:shop?mode=memory', uri=True)", "True"),
        ("import sqlite3; kept = sqlite3.connect(':memory:'); kept.close()", "False"),
        # What the app has made of its rows and texts does not matter.
        (OWN_ROWS, "True"),
        (f"{WAITS}\nimport sqlite3; kept = sqlite3.connect(':memory:')", "True"),
        (f"{WORKS}\nimport sqlite3; kept = sqlite3.connect(':memory:')", "None"),
        (f"{WORKS}\nimport sqlite3", "False"),
        (OF_ANOTHER_THREAD, "False"),
    ],
)
def test_connections_when_an_app_is_loaded(
    app: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed(app + LOADED) == found


def test_of_an_app_that_patches_python_for_gevent() -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    patched = "from gevent import monkey; monkey.patch_all()\n"
    assert printed(f"{patched}import sqlite3; kept = sqlite3.connect(':memory:'){LOADED}") == "True"


def test_connections_that_requests_open_and_close_are_not_used(tmp_path: Path) -> None:
    # Where they were, nearly each run ended by SIGSEGV.
    assert printed(OPENED_AND_CLOSED, tmp_path / "file.db", LOOKS) == "False"


def test_an_engine_that_is_being_made_is_not_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        """As SQLAlchemy's, which another thread has begun to make."""

    class Future(Engine):
        """As that of `sqlalchemy.future` in SQLAlchemy 1.4."""

    monkeypatch.setitem(sys.modules, "sqlalchemy.engine", SimpleNamespace(Engine=Engine))
    engine: Any = Future()
    assert not engine_in_memory()
    engine.url = SimpleNamespace(drivername="sqlite+pysqlite", database=None)
    assert engine_in_memory()


@pytest.mark.parametrize(
    ("name", "memory"),
    [(None, True), ("", True), (":memory:", True), ("file:x?mode=memory", True), ("x.db", False)],
)
def test_sqlalchemys_names_of_databases(name: str | None, memory: bool) -> None:
    assert in_memory(name) is memory
