"""The user's own command line, such as `python manage.py runserver --port={port}`.

The backend process is then only its keeper: it claims a port, starts the command without a shell,
waits until the command's own processes listen there, and ends the whole tree.
"""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil

from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.options import Option, Options
from pytest_winserve.servers import FILELOCK, PSUTIL, Concurrency, Job, Package, Running
from pytest_winserve.system.ports import ADDRESS, holder_of
from pytest_winserve.system.windows import tells_who_listens

STOP_SECONDS = 3.0
CONNECT_SECONDS = 5.0  # a refused connect alone takes 2 s on Windows
CLEAN_EXITS = {0, -signal.SIGTERM, 128 + signal.SIGTERM}
if sys.platform == "win32":
    CLEAN_EXITS.add(signal.SIGTERM)  # what psutil gives TerminateProcess


def check_command(command: str | None) -> str:
    """The command line, if it can be one; UsageError says what is missing."""
    if not command or not command.strip():
        raise UsageError(
            "the server `command` needs a command line: "
            "--winserve-command='python manage.py runserver --port={port}'"
        )
    if "{port}" not in command:
        raise UsageError(
            f"the command {command!r} has no {{port}}: each backend listens on a port of its own, "
            "put {port} where the command takes it"
        )
    try:
        arguments(command, 0)
    except ValueError as error:
        raise UsageError(f"the command {command!r} cannot be split into words: {error}") from None
    return command


def arguments(command: str, port: int, address: str = ADDRESS) -> str | list[str]:
    """What to start, never through a shell; a Windows program splits its command line itself."""

    def filled(text: str) -> str:
        return text.replace("{port}", str(port)).replace("{address}", address)

    if sys.platform == "win32":
        return filled(command)
    else:  # noqa: RET505 - type checkers follow one platform only
        return [filled(word) for word in shlex.split(command)]


def answered(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as sock:
        sock.settimeout(CONNECT_SECONDS)
        return sock.connect_ex((ADDRESS, port)) == 0


def listening_ports(root: psutil.Process, wanted: int) -> set[int]:
    """The TCP ports on which a process or one of its descendants listens.

    Where the system does not tell that, `wanted` is all that is looked for.
    """
    if not tells_who_listens():
        return {wanted} if answered(wanted) else set()
    ports = set()
    for process in [root, *root.children(recursive=True)]:
        try:
            connections = process.net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        ports |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return ports


class CommandServer:
    """A server of unknown kind: what it can do is measured, not declared."""

    name = "command"
    summary = "your own command line with {port}"
    development = False
    packages: tuple[Package, ...] = ()
    helpers = (FILELOCK, PSUTIL)
    options: tuple[Option, ...] = ()

    def unsupported(self, platform: str, options: Options) -> str | None:
        return None

    def concurrency(self, options: Options) -> Concurrency:
        return "unknown"

    def start(self, job: Job) -> Running:
        port = job.port()
        command = check_command(job.command)
        try:
            child = subprocess.Popen(
                arguments(command, port, job.address), stdin=subprocess.DEVNULL
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL, or no words at all
            raise StartError(f"cannot start {command!r}: {error}") from None
        wait_until_listening(child, port, command, job.patience)
        stopping = threading.Event()

        def serve() -> None:
            status = child.wait()
            if not stopping.is_set():
                raise StartError(f"the command ended by itself with exit status {status}")
            if status not in CLEAN_EXITS:
                raise StartError(f"the command ended with exit status {status} when asked to stop")

        def stop() -> None:
            stopping.set()
            root = psutil.Process(child.pid)
            for process in [*root.children(recursive=True), root]:
                with suppress(psutil.NoSuchProcess):
                    process.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_SECONDS)
            if child.poll() is None:
                sys.stderr.write(
                    f"winserve: the command ignored the request to stop for {STOP_SECONDS:g} s "
                    "and was killed\n"
                )
                child.kill()

        return Running(serve, stop)


def wait_until_listening(
    child: subprocess.Popen[bytes], port: int, command: str, seconds: float
) -> None:
    """Return when `child`'s own processes listen on `port`. Raises StartError when it ends before
    or does not in time; the text says where it listens, and who has the port."""
    root = psutil.Process(child.pid)
    deadline = time.perf_counter() + seconds
    ports: set[int] = set()
    while True:
        status = child.poll()
        if status is not None:
            raise StartError(f"the command {command!r} exited at once with exit status {status}")
        with suppress(psutil.NoSuchProcess):
            ports = listening_ports(root, port)
        if port in ports:
            return
        if time.perf_counter() > deadline:
            where = f"on {', '.join(map(str, sorted(ports)))}" if ports else "on no port at all"
            other = holder_of(port)
            raise StartError(
                f"the command {command!r} (pid {child.pid}) does not listen on port {port} after "
                f"{seconds:.3g} s, it listens {where}"
                + (f"; somebody else listens on port {port}{other}" if other else "")
            )
        time.sleep(0.02)


SERVER = CommandServer()
