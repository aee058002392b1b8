"""uvicorn, an ASGI server, with the adapter a2wsgi between it and a WSGI app."""

from __future__ import annotations

from typing import Any

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import CODE, Concurrency, Job, Package, Place, Production, Running

BACKLOG = 2048  # uvicorn.config.Config.backlog

PRODUCTION = """\
from a2wsgi import WSGIMiddleware

{imports}

# `workers` are the threads that run the app.
application = WSGIMiddleware(app, workers={threads})
"""


class UvicornServer:
    """An asyncio loop; `a2wsgi.WSGIMiddleware` runs the app in a pool of threads, 10 unless told
    otherwise (its `workers`). uvicorn's own adapter of that name is deprecated and left alone."""

    name = "uvicorn"
    summary = "uvicorn with a2wsgi"
    development = False
    packages = (Package("uvicorn", "0.17"), Package("a2wsgi", "1.6"))
    options = (
        Option("threads", 10, "threads of a2wsgi that run the app", minimum=1, maximum=1000),
        Option("access_log", True, "a line in the log for each request"),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"])

    def production(self, place: Place) -> Production:
        code = PRODUCTION.replace("{threads}", str(place.options["threads"]))
        log = () if place.options["access_log"] else ("--no-access-log",)
        return Production(
            (
                "-m", "uvicorn", "--host", place.address, "--port", place.port,
                "--backlog", str(BACKLOG), *log, f"{CODE}:application",
            ),
            code,
        )  # fmt: skip

    def start(self, job: Job) -> Running:
        from a2wsgi import WSGIMiddleware
        from uvicorn import Config, Server

        job.bind(BACKLOG)
        wrapped: Any = job.app()  # a2wsgi has types of its own for the same
        sock = job.listener()
        app = WSGIMiddleware(wrapped, workers=int(job.options["threads"]))
        server = Server(Config(app, backlog=BACKLOG, access_log=bool(job.options["access_log"])))

        def stop() -> None:
            server.should_exit = True  # it looks ten times a second

        return Running(lambda: server.run(sockets=[sock]), stop)


SERVER = UvicornServer()
