"""CGI: Apache starts a Python for each request, which loads the app and answers that one."""

from __future__ import annotations

import os
import re
import shlex
import sys

from pytest_winserve.options import Option, Options
from pytest_winserve.servers import FILELOCK, JINJA, PSUTIL, Concurrency, Job, Package, Running
from pytest_winserve.webservers.apache import (
    ERROR_LOG,
    PID_FILE,
    WINDOWS,
    complaint,
    configure,
    find_httpd,
    quit_command,
    socket_folder,
)
from pytest_winserve.webservers.kept_program import Kept

MODULES = ("alias", "env", "cgi" if WINDOWS else "cgid")
NOT_PASSED = ("HTTP_", "CONTENT_", "REQUEST_", "SERVER_", "REMOTE_", "SCRIPT_", "PATH_INFO")
"""Environment variables that a CGI program would take for a part of the request."""

SCRIPT = "from wsgiref.handlers import CGIHandler\nCGIHandler().run(application)\n"


class CgiServer:
    """What bounds it is how many requests Apache takes at once. Its own default for that is 400
    (event: ServerLimit 16 x ThreadsPerChild 25), on Windows 64 (mpm_winnt: ThreadsPerChild). As
    many Pythons start together then, and on two cores none of 64 has answered after 10 s.

    That many are there at once only where they start faster than requests end, which takes a
    processor for about a quarter of a second each.
    """

    name = "cgi"
    summary = "CGI, a new Python for each request, by Apache"
    development = False
    packages: tuple[Package, ...] = ()
    helpers = (FILELOCK, JINJA, PSUTIL)
    options = (Option("processes", 16, "requests that Apache takes at once", 1, 400),)

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def require(self, nginx: str) -> None:
        find_httpd().files(MODULES)

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return complaint(line)

    def concurrency(self, options: Options) -> Concurrency:
        return "unknown"

    def processes(self, options: Options) -> int:
        return 2  # each request has one of its own: two are enough to show what that means

    def start(self, job: Job) -> Running:
        httpd, folder, processes = find_httpd(), job.folder, int(job.options["processes"])
        (folder / "app.py").write_text(job.worker_code(processes) + SCRIPT, encoding="utf-8")
        script = folder / "app.cgi"
        script.write_text(_first_lines(f"{folder}/app.py"), encoding="utf-8")
        script.chmod(0o755)
        command = configure(
            httpd,
            "cgi.conf.j2",
            folder,
            (job.address, job.port()),
            processes,
            httpd.files(MODULES),
            sockets=socket_folder(folder),
            environment=[name for name in os.environ if _can_be_passed(name)],
        )
        kept = Kept("Apache", command, folder, folder / ERROR_LOG, lambda: quit_command(folder))
        kept.wait_until((folder / PID_FILE).exists, job.patience)
        return Running(kept.serve, kept.stop, kept.pid)


def _first_lines(program: str) -> str:
    """A script that runs the Python program; Apache starts it by its first line, which POSIX
    allows neither a space nor much length."""
    if WINDOWS:
        return f'#!"{sys.executable}"\nimport runpy\nrunpy.run_path({program!r})\n'
    return f"#!/bin/sh\nexec {shlex.join([sys.executable, program])}\n"


def _can_be_passed(name: str) -> bool:
    return bool(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)) and not name.startswith(NOT_PASSED)


SERVER = CgiServer()
