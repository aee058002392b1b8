"""Granian: HTTP in Rust, the app in threads that are made when they are needed."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import StartError
from pytest_winserve.options import Option, Options
from pytest_winserve.servers import Concurrency, Job, Package, Place, Production, Running
from pytest_winserve.system.threads import Flag
from pytest_winserve.system.windows import has_library

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BACKLOG = 1024  # granian.server.common.AbstractServer
WANTED = "bcryptprimitives.dll"  # what Rust's standard library takes random bytes from
STOP_SECONDS = 1.0  # how long requests that still run may keep a worker that was asked to stop


def limits(options: Options) -> tuple[int, int]:
    """(threads, backpressure) of a worker: what is given, else as `AbstractServer` has it: the
    backlog shared among the workers, and half as many threads."""
    backpressure = int(options["backpressure"]) or BACKLOG // int(options["workers"])
    return int(options["blocking_threads"]) or max(1, backpressure // 2), backpressure


class GranianServer:
    """A worker accepts up to `backpressure` connections and runs up to `blocking_threads` requests.

    So of several workers one may have requests wait while another has threads to spare, unless both
    numbers are the same.

    One worker, the default, serves in the backend's process; Granian's own command has it in a
    process below one that only watches. More are processes forked from the backend's, which
    accept from one socket.
    """

    name = "granian"
    summary = "Granian, WSGI interface"
    development = False
    packages = (Package("granian", "2.8"),)
    options = (
        Option("workers", 1, "processes that run the app", minimum=1, maximum=64),
        Option("blocking_threads", 0, "threads of each worker; 0: half its backpressure", 0, 1000),
        Option(
            "backpressure", 0, "connections of each worker; 0: 1024 / workers", 0, 100_000,
            of_connections=True,
        ),
    )  # fmt: skip

    def unsupported(self, platform: str, options: Options) -> str | None:
        if platform == "win32" and int(options["workers"]) > 1:
            return (
                "Granian has one worker on Windows, it falls back to that by itself; use several "
                "of them behind nginx, such as nginx4-granian"
            )
        if platform == "win32" and not has_library(WANTED):
            return f"its compiled part needs the system's {WANTED}, which Wine has since 9.0"
        threads, backpressure = limits(options)
        if threads > backpressure:
            return (
                f"a worker that accepts {backpressure} connections cannot use {threads} threads; "
                "give backpressure at least as many as blocking_threads"
            )
        return None

    def concurrency(self, options: Options) -> Concurrency:
        workers = int(options["workers"])
        threads, backpressure = limits(options)
        # A worker whose threads are all busy still takes connections, which another could serve.
        return workers * threads if workers == 1 or threads == backpressure else "unknown"

    def processes(self, options: Options) -> int:
        return int(options["workers"])

    def production(self, place: Place) -> Production:
        threads, backpressure = limits(place.options)
        return Production(
            (
                "-m", "granian", "--interface", "wsgi",
                "--host", place.address, "--port", place.port,
                "--workers", str(place.options["workers"]),
                "--blocking-threads", str(threads),
                "--backpressure", str(backpressure),
                place.app,
            )
        )  # fmt: skip

    def start(self, job: Job) -> Running:
        from granian.constants import Interfaces

        workers = int(job.options["workers"])
        threads, backpressure = limits(job.options)
        job.bind(BACKLOG)
        # Loaded once, before workers are forked, as by gunicorn and uWSGI.
        app, sock = job.app(workers if workers > 1 else 0), job.listener()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as it does with its own
        settings = {
            "target": "winserve",  # a name for its log; the app is given
            "address": sock.getsockname()[0],
            "port": sock.getsockname()[1],
            "interface": Interfaces.WSGI,
            "workers": workers,
            "blocking_threads": threads,
            "backlog": BACKLOG,
            "backpressure": backpressure,
        }
        descriptor = sock.detach()
        if workers == 1:
            return in_this_process(app, descriptor, settings)
        return in_workers(job, app, descriptor, settings)


def holder(descriptor: int) -> Any:
    """Granian's own kind of socket."""
    from granian import net

    new: Any = vars(net)["SocketHolder"]  # its stubs do not have what it is made of
    # Elsewhere also: that it is no Unix domain socket, and the backlog.
    return new(descriptor) if sys.platform == "win32" else new(descriptor, False, BACKLOG)


def in_this_process(app: WSGIApplication, descriptor: int, settings: dict[str, Any]) -> Running:
    """Serve as a worker of Granian's does, here: `MTServer` has its workers in threads, and what
    such a thread runs is run in this one."""
    from granian.server.common import AbstractServer
    from granian.server.mt import MTServer

    class OneWorker(MTServer):
        def _serve(self, spawn_target: Any, target_loader: Any) -> None:
            self._ssp, self._shd = None, holder(descriptor)
            worker = self._spawn_worker(0, spawn_target, target_loader())
            self.wrks.append(worker)
            started.set()
            worker.inner.run()

    server: Any = OneWorker(**settings)
    started = Flag()

    def stop() -> None:
        started.wait(STOP_SECONDS)
        for worker in server.wrks:
            worker.terminate()

    # Not MTServer's own `serve`, which wants a Python without GIL.
    return Running(lambda: AbstractServer.serve(server, None, lambda: app, wrap_loader=False), stop)


def in_workers(
    job: Job, app: WSGIApplication, descriptor: int, settings: dict[str, Any]
) -> Running:
    """Serve by Granian's own processes, forked from this one."""
    if sys.platform == "win32":
        raise AssertionError("unsupported() says no")
    import multiprocessing

    from granian.server.mp import MPServer

    # Its workers get the app and the counters by being forked.
    multiprocessing.set_start_method("fork", force=True)
    ended = Flag()

    class Workers(MPServer):
        def _init_shared_socket(self) -> None:
            # On Linux each of its workers has a socket of its own by SO_REUSEPORT; on macOS one
            # is shared, as here.
            self._ssp, self._shd = None, holder(descriptor)
            self._sso = socket.socket(fileno=os.dup(descriptor))

        def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:  # type: ignore[override]
            def load() -> WSGIApplication:
                job.join(idx)
                return app

            return super()._spawn_worker(idx, target, load)

    server: Any = Workers(**settings)

    def serve() -> None:
        try:
            server.serve(None, lambda: app, wrap_loader=False)
        except SystemExit as end:
            raise StartError(f"granian ended with exit status {end.code}") from None
        finally:
            ended.set()

    def stop() -> None:
        server.signal_handler_interrupt()
        if not ended.wait(STOP_SECONDS):
            sys.stderr.write("winserve: stopped with requests still running\n")
            for worker in list(server.wrks):
                worker.kill()

    return Running(serve, stop)


SERVER = GranianServer()
