"""cheroot, the server of CherryPy: a loop in front of a fixed pool of threads."""

from __future__ import annotations

import socket

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import Concurrency, Job, Package, Running
from pytest_winserve.system.threads import Flag, start_new_thread


class CherootServer:
    """The defaults are those of `cheroot.wsgi.Server`: 10 threads, and a listen queue of 5.

    The loop accepts whatever comes and queues it without bound, so the threads are what limits.
    Of the connections that wait for their next request it keeps 10; it closes the others.
    """

    name = "cheroot"
    summary = "cheroot"
    development = False
    packages = (Package("cheroot", "8.6"),)
    options = (
        Option("threads", 10, "threads that run the app", minimum=1, maximum=1000),
        Option("request_queue_size", 5, "length of the listen queue", 1, maximum=65_535),
        Option("keep_alive_conn_limit", 10, "idle connections that are kept open", maximum=100_000),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"])

    def start(self, job: Job) -> Running:
        from cheroot.wsgi import Server

        class BoundServer(Server):
            """Serves on the socket of the job instead of one of its own."""

            def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:
                if self.nodelay:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.socket = sock
                return sock

        backlog = int(job.options["request_queue_size"])
        job.bind(backlog)
        app, sock = job.app(), job.listener()
        server = BoundServer(
            sock.getsockname(),
            app,
            numthreads=int(job.options["threads"]),
            request_queue_size=backlog,
        )
        server.keep_alive_conn_limit = int(job.options["keep_alive_conn_limit"])
        server.prepare()
        stopped = Flag()

        def serve() -> None:
            server.serve()
            stopped.wait()

        def end() -> None:
            server.stop()  # returns when the requests that run have ended
            stopped.set()

        def stop() -> None:
            start_new_thread(end, ())

        return Running(serve, stop)


SERVER = CherootServer()
