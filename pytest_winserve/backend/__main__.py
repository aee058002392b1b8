"""The process that runs one server with one app: `python -m pytest_winserve.backend`.

It reads a line of JSON from its standard input, writes lines of JSON to its standard output (its
address, then that it listens, or what went wrong), and ends when its standard input closes, so a
killed lab leaves no backend behind. What the app prints goes to standard error, which is its log.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend.apps import app_traceback, failure
from pytest_winserve.backend.job import BackendJob
from pytest_winserve.backend.standard_streams import StandardStreams
from pytest_winserve.errors import StartError

if TYPE_CHECKING:
    from pytest_winserve.servers import Server


STOP_SECONDS = 1.0
"""How long requests that still run may keep a backend that was asked to stop."""


def main() -> int:
    # The app may print, read or close what it likes: the lab's two pipes are kept out of its way.
    orders = os.fdopen(os.dup(0), "r", encoding="utf-8")
    control = os.fdopen(os.dup(1), "w", encoding="utf-8")
    streams = StandardStreams()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        # The lab reads the log as UTF-8; the system's own encoding may not even have the text.
        stream.reconfigure(
            encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
        )
    spec: dict[str, Any] = json.loads(orders.readline())
    # First what the command line put there, then what the lab's own Python has beyond it.
    sys.path[1:1] = [entry for entry in spec["path"] if entry not in sys.path]
    job = BackendJob(spec, control, streams)
    # The system's own lock, as the thread below is: a server may replace those of `threading`.
    serving = allocate_lock()
    serving.acquire()
    try:
        server: Server = importlib.import_module(spec["server"]).SERVER
        running = server.start(job)
    except (Exception, SystemExit) as error:
        streams.reopen()
        sys.stderr.write(app_traceback(error))
        sys.stderr.flush()
        job.tell(**failure(spec["app"], error))
        return 2

    def wait_for_the_end() -> None:
        # Not `orders.read`: it holds a lock, which a process forked meanwhile would find taken.
        while os.read(orders.fileno(), 1024):
            pass
        running.stop()
        if not serving.acquire(timeout=STOP_SECONDS):
            sys.stderr.write("winserve: stopped with requests still running\n")
            sys.stderr.flush()
            os._exit(0)

    start_new_thread(wait_for_the_end, ())
    job.serves()
    job.tell(
        listening=True,
        pid=running.pid or os.getpid(),
        instrumented=job.instrumented,
        declared=server.concurrency(job.options),
        listens=job.listens,
        app=job.app_name,
        routes=job.routes,
        not_run=job.not_run,
    )
    try:
        running.serve()
    except StartError as error:
        sys.stderr.write(f"winserve: {error}\n")
        return 3
    finally:
        serving.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
