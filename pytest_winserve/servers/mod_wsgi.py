"""mod_wsgi: Python inside of Apache.

On POSIX in daemon mode, in processes of its own that Apache's threads talk to; on Windows in
Apache's only process, since there is no other mode there.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

from pytest_winserve.errors import MissingComponent
from pytest_winserve.options import Option, Options
from pytest_winserve.servers import FILELOCK, JINJA, PSUTIL, Concurrency, Job, Package, Running
from pytest_winserve.webservers.apache import (
    ERROR_LOG,
    PID_FILE,
    WINDOWS,
    Httpd,
    complaint,
    configure,
    find_httpd,
    quit_command,
    socket_folder,
)
from pytest_winserve.webservers.kept_program import Kept

APACHE_THREADS = 400  # Apache's own default: event's ServerLimit 16 x ThreadsPerChild 25
GET_IT = (
    "with the Apache of https://www.apachelounge.com/download/ in C:\\Apache24 and the matching "
    "Visual C++: "
    if WINDOWS
    else "sudo apt-get install apache2-dev && "
) + 'python -m pip install "pytest-winserve[mod-wsgi]"'

SCRIPT = "try:\n{}finally:\n    with open({!r}, 'a') as file:\n        file.write('x')\n"
"""The app, and a letter for each process that has loaded it, or could not."""


class ModWsgiServer:
    """`processes` x `threads`, which are the options of WSGIDaemonProcess with their defaults.
    What Apache takes beyond that waits."""

    name = "mod_wsgi"
    summary = "mod_wsgi, Python inside of Apache"
    development = False
    # Where it is not installed, Apache's own module may do.
    packages = (Package("mod_wsgi", "5.0", optional=True),)
    helpers = (FILELOCK, JINJA, PSUTIL)
    options = (
        Option("processes", 1, "daemon processes that run the app; on Windows 1", 1, 64),
        Option("threads", 15, "threads of each process; on Windows ThreadsPerChild", 1, 1000),
    )

    def unsupported(self, platform: str, options: Options) -> str | None:
        processes = int(options["processes"])
        if platform == "win32" and processes > 1:
            return (
                "mod_wsgi has one process on Windows, Apache's own; give it threads, or several "
                f"of it a front: nginx{processes}-mod_wsgi"
            )
        return None

    def require(self, nginx: str) -> None:
        httpd = find_httpd()
        httpd.files(())
        find_module(httpd)

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return complaint(line)

    def concurrency(self, options: Options) -> Concurrency:
        return int(options["processes"]) * int(options["threads"])

    def processes(self, options: Options) -> int:
        return int(options["processes"])

    def start(self, job: Job) -> Running:
        processes, threads = int(job.options["processes"]), int(job.options["threads"])
        httpd, folder = find_httpd(), job.folder
        # One more: Apache may start a process for one that has not quite ended.
        code, loaded = job.worker_code(processes + 1), folder / "loaded"
        (folder / "app.wsgi").write_text(SCRIPT.format(indent(code, "    "), str(loaded)), "utf-8")
        command = configure(
            httpd,
            "mod_wsgi.conf.j2",
            folder,
            (job.address, job.port()),
            threads if WINDOWS else APACHE_THREADS,
            [*httpd.files(()), ("wsgi", find_module(httpd))],
            sockets=socket_folder(folder),
            python_home=Path(sys.prefix).as_posix(),
            options={"processes": processes, "threads": threads},
        )
        kept = Kept("Apache", command, folder, folder / ERROR_LOG, lambda: quit_command(folder))
        kept.wait_until((folder / PID_FILE).exists, job.patience)
        # All processes: one that loads the app while others serve would run nothing for a while.
        kept.wait_until(
            lambda: loaded.exists() and loaded.stat().st_size >= processes,
            job.patience,
            "load the app",
        )
        return Running(kept.serve, kept.stop, kept.pid)


def find_module(httpd: Httpd) -> Path:
    """The module for this Python: that of the package `mod_wsgi`, which is compiled for it, else
    Apache's own if this is the system's Python. Raises MissingComponent."""
    package = find_spec("mod_wsgi")
    if package is not None and package.origin is not None:
        suffix = ".pyd" if WINDOWS else ".so"
        for file in (Path(package.origin).parent / "server").glob(f"mod_wsgi*{suffix}"):
            return file
    version = sysconfig.get_python_version()
    own = httpd.modules / f"mod_wsgi.so-{version}" if httpd.modules else None  # as Debian has it
    reason = "the Python package mod_wsgi is not installed"
    if own is not None and own.is_file():
        if Path(sys.base_prefix) == Path("/usr"):
            return own
        reason += f"; {own} is for the system's Python {version}, this is {sys.base_prefix}"
    raise MissingComponent("mod_wsgi", reason, GET_IT)


SERVER = ModWsgiServer()
