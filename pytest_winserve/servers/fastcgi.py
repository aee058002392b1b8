"""FastCGI: flup in the backend's process, and an nginx of the backend's own before it.

Nobody but a web server speaks FastCGI, so the backend is both: its nginx takes HTTP and hands it on
by `fastcgi_pass`, over TCP as Windows needs it. A front therefore sees a backend like any other.
"""

from __future__ import annotations

import socket
import threading

from pytest_winserve.fronts import get_front
from pytest_winserve.fronts.nginx import NginxFront
from pytest_winserve.options import Option, Options, defaults
from pytest_winserve.servers import FILELOCK, JINJA, PSUTIL, Concurrency, Job, Package, Running
from pytest_winserve.system.ports import ADDRESS, bound_socket
from pytest_winserve.webservers.kept_program import Kept
from pytest_winserve.webservers.nginx import complaint

LOOK_EVERY = 0.05


class FastCgiServer:
    """flup starts another thread when none is idle, without a bound that matters (`ThreadPool`:
    `maxThreads` 0xffffffff), but takes a thread for idle until it has begun its request. So of
    requests that come together, some wait behind the threads that were idle before, `spare` at
    most (`maxSpare`), until one of them is done: how many run at once depends on the moment.
    """

    name = "fastcgi"
    summary = "FastCGI by flup, with an nginx of its own"
    development = False
    packages = (Package("flup6", "1.1.1"),)
    helpers = (FILELOCK, JINJA, PSUTIL)
    options = (Option("spare", 5, "threads kept idle at most", 1, 1000),)

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def require(self, nginx: str) -> None:
        get_front("nginx").find(nginx)

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return complaint(line)

    def concurrency(self, options: Options) -> Concurrency:
        return "unknown"

    def start(self, job: Job) -> Running:
        from flup.server.fcgi import WSGIServer  # type: ignore[import-untyped]
        from flup.server.threadedserver import ThreadedServer  # type: ignore[import-untyped]

        app, sock = job.app(), bound_socket()
        sock.listen(socket.SOMAXCONN)  # flup's own backlog
        job.listens_too(sock.getsockname())
        nginx = start_nginx(job, f"{ADDRESS}:{sock.getsockname()[1]}")

        class Server(WSGIServer):  # type: ignore[misc]
            _web_server_addrs = None  # run() would take it from the environment

            def _installSignalHandlers(self) -> None:  # noqa: N802 - its name
                """They are this process's own business; there are none on Windows."""

            _restoreSignalHandlers = _installSignalHandlers  # noqa: N815

        server = Server(app, maxSpare=int(job.options["spare"]))

        def serve() -> None:
            failed: list[BaseException] = []

            def keep() -> None:
                try:
                    nginx.serve()
                except BaseException as error:
                    failed.append(error)
                server._exit()

            keeper = threading.Thread(target=keep, name="winserve-nginx")
            keeper.start()
            ThreadedServer.run(server, sock, timeout=LOOK_EVERY)
            keeper.join()
            if failed:
                raise failed[0]

        return Running(serve, nginx.stop)


def start_nginx(job: Job, flup: str) -> Kept:
    """The nginx that speaks HTTP where the backend does, and FastCGI with `flup`."""
    front, folder = NginxFront(), job.folder
    binary = front.find(job.nginx)
    options = defaults(front.options, {"keepalive": 0, "retry": False})
    listen = (job.address, job.port())
    command = front.prepare(binary, folder, listen, [flup], options, fastcgi=True)
    kept = Kept(
        "nginx",
        command,
        folder,
        front.error_log(folder),
        lambda: front.quit_command(binary, folder),
    )
    kept.wait_until(lambda: front.listening(folder), job.patience)
    return kept


SERVER = FastCgiServer()
