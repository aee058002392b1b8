"""cheroot, the server of CherryPy: a loop in front of a fixed pool of threads."""

from __future__ import annotations

import socket

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import CODE, Concurrency, Job, Package, Place, Production, Running
from pytest_winserve.system.threads import Flag, start_new_thread

KEPT_BY_DEFAULT = 10  # cheroot.server.HTTPServer.keep_alive_conn_limit

PRODUCTION = """\
import sys

from cheroot.wsgi import Server

{imports}

server = Server(
    (sys.argv[1], int(sys.argv[2])),
    app,
    numthreads={threads},
    request_queue_size={request_queue_size},
)
server.keep_alive_conn_limit = {keep_alive_conn_limit}
server.safe_start()
"""


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
        Option(
            "keep_alive_conn_limit", KEPT_BY_DEFAULT, "idle connections that are kept open", 0,
            100_000,
        ),
    )  # fmt: skip

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"])

    def production(self, place: Place) -> Production:
        options = {name: int(value) for name, value in place.options.items()}
        if options["keep_alive_conn_limit"] != KEPT_BY_DEFAULT:  # its command has no such option
            code = PRODUCTION
            for name, value in options.items():
                code = code.replace(f"{{{name}}}", str(value))
            return Production((f"{CODE}.py", place.address, place.port), code)
        return Production(
            (
                "-m", "cheroot", place.app,
                "--bind", place.listen,
                "--threads", str(options["threads"]),
                "--request-queue-size", str(options["request_queue_size"]),
            )
        )  # fmt: skip

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
