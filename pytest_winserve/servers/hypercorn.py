"""Hypercorn, an ASGI server that also serves WSGI apps."""

from __future__ import annotations

import os
import sys

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import CODE, Concurrency, Job, Package, Place, Production, Running

BACKLOG = 100  # hypercorn.config.Config.backlog


def default_threads() -> int:
    """The threads of asyncio's default executor on this machine: those of a ThreadPoolExecutor
    that is given no number."""
    if sys.version_info >= (3, 13):
        cpus = os.process_cpu_count()
    else:
        cpus = os.cpu_count()
    return min(32, (cpus or 1) + 4)


PRODUCTION = """\
import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from hypercorn.asyncio import serve
from hypercorn.config import Config

{imports}


async def main():
    # The threads that run the app.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor({threads}))
    config = Config()
    config.bind = [sys.argv[1]]
    await serve(app, config, mode="wsgi")


asyncio.run(main())
"""


class HypercornServer:
    """An asyncio loop that runs the app in the loop's default executor (`sync_spawn` in
    `hypercorn.asyncio.task_group`), so the number of threads depends on the machine's processors.
    `threads=N` gives the loop an executor of that size."""

    name = "hypercorn"
    summary = "Hypercorn, WSGI mode"
    development = False
    packages = (Package("hypercorn", "0.14"),)
    options = (
        Option(
            "threads", 0, "threads that run the app; 0: asyncio's default, processors + 4", 0, 1000
        ),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["threads"]) or default_threads()

    def production(self, place: Place) -> Production:
        threads = int(place.options["threads"])
        if threads:  # its command has no such option
            return Production(
                (f"{CODE}.py", place.listen), PRODUCTION.replace("{threads}", str(threads))
            )
        # No workers: it serves in the process that is started, and in no other.
        return Production(
            ("-m", "hypercorn", "--bind", place.listen, "--workers", "0", f"wsgi:{place.app}")
        )

    def start(self, job: Job) -> Running:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        from socket import IPPROTO_TCP, TCP_NODELAY

        from hypercorn.asyncio.run import worker_serve
        from hypercorn.config import Config, Sockets
        from hypercorn.utils import wrap_app

        job.bind(BACKLOG)
        config = Config()
        app = wrap_app(job.app(), config.wsgi_max_body_size, "wsgi")
        sock = job.listener()
        sock.setblocking(False)
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # as it does with a socket of its own
        loop = asyncio.new_event_loop()
        threads = int(job.options["threads"])
        if threads:
            loop.set_default_executor(ThreadPoolExecutor(threads))
        stopping = asyncio.Event()

        async def main() -> None:
            # Not its `serve`, which binds: with SO_REUSEADDR, by which others could take the port
            # on Windows, and which a socket with SO_EXCLUSIVEADDRUSE refuses there.
            sockets = Sockets([], [sock], [])
            await worker_serve(app, config, sockets=sockets, shutdown_trigger=stopping.wait)
            await loop.shutdown_default_executor()

        def stop() -> None:
            loop.call_soon_threadsafe(stopping.set)

        return Running(lambda: loop.run_until_complete(main()), stop)


SERVER = HypercornServer()
