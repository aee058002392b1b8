"""gevent's WSGI server, which runs each connection in a greenlet of one thread."""

from __future__ import annotations

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import CODE, Concurrency, Job, Package, Place, Production, Running

BACKLOG = 128  # gevent.pywsgi.WSGIServer: StreamServer.backlog

PATCH = """\
# Before the app is imported: what waits in it lets other requests run.
from gevent import monkey

monkey.patch_all()

"""
PRODUCTION = """\
{patch}import sys

from gevent.pywsgi import WSGIServer

{imports}

address = (sys.argv[1], int(sys.argv[2]))
WSGIServer(address, app, log={log}, spawn={spawn}).serve_forever()
"""


class GeventServer:
    """As many requests as there are connections, as long as the app waits by what gevent replaces
    (sleeps, sockets, locks, subprocesses). What blocks otherwise holds up all of them.

    `patch=true` replaces these before the app is imported, as `gevent.monkey.patch_all` in the
    first line of a program does; without it, every wait of the app blocks.
    """

    name = "gevent"
    summary = "gevent.pywsgi"
    development = False
    packages = (Package("gevent", "23.7"),)
    options = (
        Option("patch", True, "make the app's waiting cooperative: monkey.patch_all()"),
        Option("pool", 0, "connections at a time; 0: no bound", 0, 100_000, of_connections=True),
        Option("log", True, "a line in the log for each request"),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return (int(options["pool"]) or None) if options["patch"] else 1

    def production(self, place: Place) -> Production:
        code = PRODUCTION.replace("{patch}", PATCH if place.options["patch"] else "")
        code = code.replace("{spawn}", repr(int(place.options["pool"]) or "default"))
        code = code.replace("{log}", repr("default" if place.options["log"] else None))
        return Production((f"{CODE}.py", place.address, place.port), code)

    def start(self, job: Job) -> Running:
        from gevent import get_hub, monkey, socket
        from gevent.pywsgi import WSGIServer

        if job.options["patch"]:
            monkey.patch_all()
        job.bind(BACKLOG)
        app, bound = job.app(), job.listener()
        listener = socket.socket(bound.family, bound.type, fileno=bound.detach())
        server = WSGIServer(
            listener,
            app,
            log="default" if job.options["log"] else None,
            spawn=int(job.options["pool"]) or "default",
        )
        # Greenlets are of one thread; this is the one way into it from another.
        asked = get_hub().loop.async_()
        asked.start(server.close)
        # What its greenlets still run then is given up.
        return Running(lambda: server.serve_forever(stop_timeout=0), asked.send)


SERVER = GeventServer()
