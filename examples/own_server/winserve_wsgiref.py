"""Python's own WSGI server, which runs one request at a time."""

from __future__ import annotations

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import Concurrency, Job, Package, Running


class WsgirefServer:
    name = "wsgiref"
    summary = "wsgiref of the standard library"
    development = True
    packages: tuple[Package, ...] = ()
    options = (Option("backlog", 5, "length of the listen queue", minimum=1),)

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return 1

    def start(self, job: Job) -> Running:
        from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

        # Bound: the lab knows the port now. What serves is made when the app is loaded.
        job.bind(int(job.options["backlog"]))
        app, sock = job.app(), job.listener()
        server = WSGIServer(sock.getsockname(), WSGIRequestHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = sock
        server.server_name, server.server_port = sock.getsockname()
        server.setup_environ()
        server.set_app(app)
        # `serve` is called next, in the main thread; `stop` in another one, when it is to end.
        return Running(lambda: server.serve_forever(poll_interval=0.05), server.shutdown)


SERVER = WsgirefServer()
