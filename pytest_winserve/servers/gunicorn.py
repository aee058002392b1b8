"""gunicorn: a process that starts workers, which accept from one socket."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import StartError
from pytest_winserve.options import Option, Options
from pytest_winserve.servers import Concurrency, Job, Package, Running
from pytest_winserve.system.threads import Flag, get_ident

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BACKLOG = 2048  # gunicorn.config.Backlog
STOP_SECONDS = 1.0  # how long requests that still run may keep a worker that was asked to stop


class GunicornServer:
    """`threads=1` is gunicorn's sync worker, one request at a time; more make it gthread.

    Left to itself, a gthread worker accepts up to 1000 connections, also while its threads are
    busy and another worker's are idle, so that the workers run fewer requests than they could.
    Here it accepts as many as it can run, unless told otherwise; it cannot keep any alive then.
    """

    name = "gunicorn"
    summary = "gunicorn"
    development = False
    # Before 24.1 a gthread worker accepts connections and then does not read them.
    packages = (Package("gunicorn", "24.1"),)
    options = (
        Option("workers", 1, "processes that run the app", minimum=1, maximum=64),
        Option("threads", 1, "threads of each worker; 1: sync, more: gthread", 1, maximum=1000),
        Option(
            "worker_connections",
            0,
            "connections of a gthread worker; 0: as many as its threads",
            maximum=100_000,
        ),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        if platform == "win32":
            return (
                "it needs fork() and the module fcntl, which Windows does not have; use waitress, "
                "or several servers behind nginx such as nginx4-waitress (WSL is Linux: there it "
                "runs)"
            )
        threads, connections = int(options["threads"]), int(options["worker_connections"])
        if connections and threads == 1:
            return "worker_connections is for gthread workers, and with threads=1 they are sync"
        if 0 < connections < threads:
            return (
                f"a worker that accepts {connections} connections cannot use {threads} threads; "
                "give worker_connections at least as many as threads"
            )
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["workers"]) * int(options["threads"])

    def processes(self, options: Options) -> int:
        return int(options["workers"])

    def start(self, job: Job) -> Running:
        if sys.platform == "win32":
            raise AssertionError("unsupported() says no")
        from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
        from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

        workers, threads = int(job.options["workers"]), int(job.options["threads"])
        connections = int(job.options["worker_connections"]) or threads
        job.bind(BACKLOG)
        # Loaded once, before the workers are forked, as with gunicorn's own preload_app.
        app, sock = job.app(workers), job.listener()
        signals_are_handled, ended = Flag(), Flag()

        def give_place(arbiter: Any, worker: Any) -> None:
            taken = {living.winserve_place for living in arbiter.WORKERS.values()}
            worker.winserve_place = min(set(range(workers)) - taken)

        settings = {
            "bind": f"fd://{sock.detach()}",
            "backlog": BACKLOG,
            "workers": workers,
            "threads": threads,
            "worker_connections": connections,
            **({"keepalive": 0} if connections <= threads else {}),
            "preload_app": True,
            "control_socket_disable": True,  # one per user, and there may be several of these
            "when_ready": lambda arbiter: signals_are_handled.set(),
            "pre_fork": give_place,
            "post_fork": lambda arbiter, worker: job.join(worker.winserve_place),
        }

        class Application(BaseApplication):  # type: ignore[misc]
            def load_config(self) -> None:
                for key, value in settings.items():
                    if key in self.cfg.settings:
                        self.cfg.set(key, value)

            def load(self) -> WSGIApplication:
                return app

        arbiter = Arbiter(Application())
        master, main_thread = os.getpid(), get_ident()

        def serve() -> None:
            try:
                arbiter.run()
            except SystemExit as end:
                if os.getpid() == master and end.code:
                    raise StartError(f"gunicorn ended with exit status {end.code}") from None
                if os.getpid() != master:
                    raise
            finally:
                ended.set()

        def stop() -> None:
            # Sent to the main thread, where it waits for signals: it wakes up at once.
            signals_are_handled.wait(STOP_SECONDS)
            signal.pthread_kill(main_thread, signal.SIGTERM)
            if not ended.wait(STOP_SECONDS):
                sys.stderr.write("winserve: stopped with requests still running\n")
                for worker in list(arbiter.WORKERS):
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)

        return Running(serve, stop)


SERVER = GunicornServer()
