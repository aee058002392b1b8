"""Tornado's HTTP server with `WSGIContainer`, as the Flask documentation describes it."""

from __future__ import annotations

from typing import Any

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import CODE, Concurrency, Job, Package, Place, Production, Running

BACKLOG = 128  # tornado.netutil.bind_sockets

PRODUCTION = """\
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from tornado.httpserver import HTTPServer
from tornado.wsgi import WSGIContainer

{imports}

# The threads that run the app; None: one request at a time, in Tornado's own thread.
EXECUTOR = {executor}


async def main():
    server = HTTPServer(WSGIContainer(app, EXECUTOR))
    server.listen(int(sys.argv[2]), address=sys.argv[1])
    await asyncio.Event().wait()


asyncio.run(main())
"""


class TornadoServer:
    """`WSGIContainer` runs the app inline in the event loop: one request at a time.

    With `threads=N` it gets a thread pool (its `executor` argument, Tornado 6.3 and later).
    """

    name = "tornado"
    summary = "Tornado with WSGIContainer"
    development = False
    packages = (Package("tornado", "6.3"),)
    options = (
        Option("threads", 0, "threads of WSGIContainer's executor; 0: inline", maximum=1000),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"]) or 1

    def production(self, place: Place) -> Production:
        threads = int(place.options["threads"])
        executor = f"ThreadPoolExecutor({threads})" if threads else "None"
        return Production(
            (f"{CODE}.py", place.address, place.port), PRODUCTION.replace("{executor}", executor)
        )

    def start(self, job: Job) -> Running:
        import asyncio
        import warnings
        from concurrent.futures import ThreadPoolExecutor

        from tornado.httpserver import HTTPServer
        from tornado.httputil import HTTPServerRequest
        from tornado.wsgi import WSGIContainer

        class Container(WSGIContainer):
            def environ(self, request: HTTPServerRequest) -> dict[str, Any]:
                environ = super().environ(request)
                # Tornado leaves it out; the sample app finds its connection by it.
                context: Any = getattr(request.connection, "context", None)
                address = getattr(context, "address", None)
                if address:
                    environ["REMOTE_PORT"] = str(address[1])
                return environ

        job.bind(BACKLOG)
        app, sock = job.app(), job.listener()
        sock.setblocking(False)
        threads = int(job.options["threads"])
        executor = ThreadPoolExecutor(threads) if threads else None
        with warnings.catch_warnings():
            # "No executor" is what is measured here, deprecated or not.
            warnings.simplefilter("ignore", DeprecationWarning)
            container = Container(app, executor)
        loop = asyncio.new_event_loop()
        stopping = asyncio.Event()

        async def main() -> None:
            server = HTTPServer(container)
            server.add_sockets([sock])
            await stopping.wait()
            server.stop()

        def stop() -> None:
            loop.call_soon_threadsafe(stopping.set)

        def serve() -> None:
            loop.run_until_complete(main())
            if executor is not None:
                # Here, where the backend sees that requests still run: Python would wait for the
                # executor's threads at its exit, for as long as they take.
                executor.shutdown(cancel_futures=True)

        return Running(serve, stop)


SERVER = TornadoServer()
