"""Flask's development server, which is Werkzeug's."""

from __future__ import annotations

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import FLASK, Concurrency, Job, Place, Production, Running


class FlaskServer:
    """`threaded=true` is Flask's default since 1.0: a thread per connection, without bound."""

    name = "flask"
    summary = "Flask's development server (Werkzeug)"
    development = True
    packages = (FLASK,)
    options = (Option("threaded", True, "a thread for each connection"),)

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return None if options["threaded"] else 1

    def production(self, place: Place) -> Production:
        threads = "--with-threads" if place.options["threaded"] else "--without-threads"
        where = ("--host", place.address, "--port", place.port)
        return Production(
            ("-m", "flask", "--app", place.app, "run", *where, "--no-reload", "--no-debugger",
             threads)
        )  # fmt: skip

    def start(self, job: Job) -> Running:
        from werkzeug.serving import LISTEN_QUEUE, make_server

        job.bind(LISTEN_QUEUE)
        app, sock = job.app(), job.listener()
        host, port = sock.getsockname()
        threaded = bool(job.options["threaded"])
        server = make_server(host, port, app, threaded=threaded, fd=sock.fileno())
        # The server serves on a duplicate; with both open, its close would not close the port.
        sock.close()
        return Running(lambda: server.serve_forever(poll_interval=0.05), server.shutdown)


SERVER = FlaskServer()
