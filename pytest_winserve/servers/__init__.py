"""The kinds of WSGI server, one file each.

A server file defines `SERVER`, an object of the `Server` protocol. Nothing outside of the file
knows the server by name, so a new server is a new file.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.options import Option, Options
from pytest_winserve.registry import member, names

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Concurrency = int | None | Literal["unknown"]
"""How many requests one backend runs at once: a number, None for no bound, or unknown."""


class Job(Protocol):
    """What a backend process gives to the server that it runs."""

    @property
    def options(self) -> Options:
        """Every option of the server with its value."""

    @property
    def command(self) -> str | None:
        """The user's own command line."""

    @property
    def patience(self) -> float:
        """Seconds after which it is time to say what is waited for; the lab waits a bit longer."""

    def bind(self, backlog: int) -> socket.socket:
        """A TCP socket bound to this backend's address, listening from the call of `app` on."""

    def app(self, workers: int = 0) -> WSGIApplication:
        """The user's application, imported and instrumented.

        `workers` is how many processes a server that forks will run it in.
        """

    def join(self, worker: int) -> None:
        """Called in a forked process before it serves: it is `worker`, from 0, or the process that
        takes the place of one that died."""

    def worker_code(self, workers: int) -> str:
        """Python code that binds `application`, instead of `app`, for a server that starts its
        own processes; up to `workers` of them may run it at a time."""

    def port(self) -> int:
        """A free port for a server that cannot take a socket."""

    @property
    def folder(self) -> Path:
        """A folder for the files of this backend's server, removed with the site."""

    @property
    def nginx(self) -> str:
        """Which nginx the user wants, as in `--winserve-nginx`."""

    @property
    def address(self) -> str:
        """Where such a server has to listen on that port."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server about to serve: `serve` returns after `stop` was called from another thread.

    `pid` is the process that serves, where it is not the backend's own.
    """

    serve: Callable[[], None]
    stop: Callable[[], None]
    pid: int | None = None


class Server(Protocol):
    """A kind of WSGI server."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """What it is, in a few words."""

    @property
    def module(self) -> str | None:
        """The top-level module that must be importable, if any."""

    @property
    def distribution(self) -> str | None:
        """The distribution whose version is reported, if any."""

    @property
    def options(self) -> tuple[Option, ...]: ...

    def unsupported(self, platform: str) -> str | None:
        """Why it does not run on this `sys.platform`; None where it does."""

    def concurrency(self, options: Options) -> Concurrency:
        """How many requests one backend runs at once with these options."""

    def start(self, job: Job) -> Running:
        """Take a socket or a port from `job`, and its app, and be ready to serve."""


@runtime_checkable
class NeedsPrograms(Protocol):
    """A server that needs more than Python packages."""

    def require(self, nginx: str) -> None:
        """Raise MissingComponent for what is not there; `nginx` is which the user wants."""


def server_names() -> list[str]:
    """Every server's name, installed or not."""
    return list(names(__name__))


def get_server(name: str) -> Server:
    """The server of that name; UsageError with the nearest names when there is none."""
    return cast(Server, member(__name__, "server", name).SERVER)


def require_server(server: Server, platform: str, nginx: str = "auto") -> None:
    """Raise what keeps `server` from running in this Python, if anything does."""
    reason = server.unsupported(platform)
    if reason:
        raise UsageError(f"{server.name} does not run here: {reason}")
    if server.module and importlib.util.find_spec(server.module) is None:
        raise MissingComponent(
            server.name,
            f"the Python package {server.distribution} is not installed",
            f'python -m pip install "pytest-winserve[{server.name}]"',
        )
    if isinstance(server, NeedsPrograms):
        server.require(nginx)
