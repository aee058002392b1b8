"""The folder that all runs of a user share, and the machine's measuring lock."""

from __future__ import annotations

import getpass
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

HOLDER = "measuring.json"
"""Who holds the measuring lock: its own file cannot be read on Windows while it is held."""

XDIST_WORKER = "import sys;exec(eval(sys.stdin.readline()))"
"""The command line of a worker of pytest-xdist, which execnet starts, ends so and tells nothing."""

COMMAND_LENGTH = 200
LOOK_EVERY = 0.5


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
            lock.acquire(timeout=LOOK_EVERY)
            break
        except Timeout:
            if on_wait is not None:
                on_wait(time.perf_counter() - begun)
    waited = time.perf_counter() - begun
    note = shared_folder() / HOLDER
    # Nobody waits less without it.
    with suppress(OSError):
        note.write_text(json.dumps(_who()), "utf-8")
    try:
        yield waited
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _who() -> dict[str, Any]:
    """This process, for those who wait for it."""
    import psutil

    me = psutil.Process()
    known = me
    with suppress(psutil.Error):
        if me.cmdline()[-1:] == [XDIST_WORKER]:
            known = me.parent() or me
        return {"pid": me.pid, "since": me.create_time(), "command": _command(known.cmdline())}
    return {"pid": me.pid, "since": me.create_time(), "command": me.name()}


def _command(words: list[str]) -> str:
    """A command line as somebody has typed it: without the Python that runs a script, and where
    the program is."""
    if len(words) > 1 and "python" in Path(words[0]).name.lower() and not words[1].startswith("-"):
        words = words[1:]
    return subprocess.list2cmdline([Path(words[0]).name, *words[1:]])


def wait_text(seconds: float) -> str:
    """`waits for another measurement, 3 s (pid 7: winserve load nginx4)`; without the end when
    nobody knows."""
    import psutil

    text = f"waits for another measurement, {seconds:.0f} s"
    try:
        who = json.loads((shared_folder() / HOLDER).read_text("utf-8"))
        if psutil.Process(who["pid"]).create_time() != who["since"]:
            return text
    # The one that holds it now may be about to write, the one before may have been killed.
    except (OSError, ValueError, KeyError, psutil.Error):
        return text
    return f"{text} (pid {who['pid']}: {shorten(who['command'], COMMAND_LENGTH)})"
