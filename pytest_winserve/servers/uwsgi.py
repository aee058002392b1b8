"""uWSGI, as the Python package `pyuwsgi`: a process that starts workers written in C.

It takes over the process that runs it and never gives it back, so it runs in a fork of the
backend's process, which is then only its keeper.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import types
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_winserve.errors import StartError
from pytest_winserve.options import Option, Options
from pytest_winserve.servers import PSUTIL, Concurrency, Job, Package, Running
from pytest_winserve.system.program import describe_exit
from pytest_winserve.system.threads import Flag

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BACKLOG = 100  # what uWSGI's own option `listen` is by default
_QUEUE = re.compile(r"uWSGI listen queue of socket .* full")
STOP_SECONDS = 2.0  # its master looks at its workers once a second
APP = "winserve_uwsgi_app"


class UwsgiServer:
    """`processes` workers, each with `threads` cores; each core accepts when it is free."""

    name = "uwsgi"
    summary = "uWSGI (pyuwsgi)"
    development = False
    packages = (Package("pyuwsgi", "2.0.22"),)
    helpers = (PSUTIL,)
    options = (
        Option("processes", 1, "processes that run the app", minimum=1, maximum=64),
        Option("threads", 1, "threads of each process", minimum=1, maximum=1000),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        if platform != "win32":
            return None
        return (
            "uWSGI needs fork() and cannot be built for Windows; use waitress, or several servers "
            "behind nginx such as nginx4-waitress (WSL is Linux: there it runs)"
        )

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return ("its listen queue is full", False) if _QUEUE.search(line) else None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["processes"]) * int(options["threads"])

    def processes(self, options: Options) -> int:
        return int(options["processes"])

    def start(self, job: Job) -> Running:
        if sys.platform == "win32":
            raise AssertionError("unsupported() says no")
        processes, threads = int(job.options["processes"]), int(job.options["threads"])
        job.bind(BACKLOG)
        # Loaded once, before uWSGI forks its workers, as it does itself.
        app, sock = job.app(processes), job.listener()
        master = os.fork()
        if not master:
            run(job, app, sock.fileno(), processes, threads)
        sock.close()
        stopping, ended = Flag(), Flag()

        def serve() -> None:
            code = os.waitstatus_to_exitcode(os.waitpid(master, 0)[1])
            ended.set()
            if not stopping.is_set():
                raise StartError(f"uWSGI (pid {master}) {describe_exit(code)} unasked")
            if code not in (0, -signal.SIGTERM):  # the signal: it came before uWSGI minded it
                raise StartError(f"uWSGI (pid {master}) {describe_exit(code)} when asked to stop")

        def stop() -> None:
            stopping.set()
            with suppress(ProcessLookupError):
                os.kill(master, signal.SIGTERM)
            if not ended.wait(STOP_SECONDS):
                sys.stderr.write("winserve: stopped with requests still running\n")
                kill_workers(master)
                ended.wait(STOP_SECONDS)

        return Running(serve, stop, master)


def run(job: Job, app: WSGIApplication, descriptor: int, processes: int, threads: int) -> None:
    """Become uWSGI's master process. Does not return."""

    def make() -> WSGIApplication:
        import uwsgi  # type: ignore[import-untyped]  # only there inside of uWSGI

        uwsgi.post_fork_hook = lambda: job.join(uwsgi.worker_id() - 1)
        return app

    try:
        import pyuwsgi  # type: ignore[import-not-found]

        for name in [name for name in os.environ if name.startswith("UWSGI_")]:
            del os.environ[name]  # each would be an option of uWSGI's
        module = types.ModuleType(APP)
        module.__dict__["make"] = make
        sys.modules[APP] = module
        pyuwsgi.run(
            "--master", "--die-on-term", "--single-interpreter", "--need-app",
            f"--http-socket=fd://{descriptor}", f"--module={APP}:make()",
            f"--processes={processes}", f"--threads={threads}",
            # It closes each connection; unless it says so, a client may send on a closed one.
            "--add-header=Connection: close",
        )  # fmt: skip
    except BaseException as error:
        sys.stderr.write(f"winserve: uWSGI could not be run: {error!r}\n")
        sys.stderr.flush()
    finally:
        os._exit(1)


def kill_workers(master: int) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        for worker in psutil.Process(master).children():
            with suppress(psutil.NoSuchProcess):
                worker.kill()


SERVER = UwsgiServer()
