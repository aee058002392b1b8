"""The kinds of WSGI server, one file each.

A server file defines `SERVER`, an object of the `Server` protocol. Nothing outside of the file
knows the server by name, so a new server is a new file, here or in another package that names its
module in the entry point group `pytest_winserve.servers`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast, runtime_checkable

from pytest_winserve.errors import AppError, MissingComponent, UsageError
from pytest_winserve.options import Option, Options, defaults
from pytest_winserve.registry import member, names, own_names, owner

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from pytest_winserve.shipping.app_python import AppPython
    from pytest_winserve.system.ports import Address

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
        """A TCP socket bound to this backend's address, listening from the call of `app` on.

        The lab knows the address then, and can start a front while the app loads. What serves on it
        takes `listener`, once the app is loaded."""

    def listener(self) -> socket.socket:
        """After `bind` and `app`: the same socket, as `socket.socket` makes one now, since the app
        may have put another class there. The one that `bind` gave is closed with it."""

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

    def listens_too(self, address: Address) -> None:
        """Say that this backend listens there as well, between two parts of its own."""

    @property
    def folder(self) -> Path:
        """A folder for the files of this backend's server, removed with the site."""

    @property
    def nginx(self) -> str:
        """Which nginx the user wants, as in `--winserve-nginx`."""

    @property
    def behind_front(self) -> bool:
        """Whether a front of the lab, on this machine, is before it."""

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to run an app by its own command, without the lab.

    `app` is a name that every server takes: `module:attribute`. `port` is a text, because IIS tells
    it by a variable. `front` is the address of the front that is believed; empty without one.
    """

    app: str
    address: str
    port: str
    options: Options
    front: str = ""

    @property
    def listen(self) -> str:
        return f"{self.address}:{self.port}"


CODE = "deployed_server"
"""The module that `Production.code` is written to."""


@dataclass(frozen=True, slots=True)
class Production:
    """The server's own command: the `arguments` of Python, such as `-m waitress ...`.

    Where it has no command, or none for these options, they name the module `CODE` or its file, of
    which `code` is the text. Its `{imports}` is where the app is imported, as `app`.
    """

    arguments: tuple[str, ...]
    code: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution that a server needs, and its oldest version that works; one that is optional
    may be missing."""

    name: str
    oldest: str
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.name}>={self.oldest}"


FILELOCK = Package("filelock", "3.13")
FLASK = Package("flask", "2.0")
JINJA = Package("jinja2", "3.1")
PSUTIL = Package("psutil", "5.9.6")


class Server(Protocol):
    """A kind of WSGI server."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str:
        """What it is, in a few words."""

    @property
    def development(self) -> bool:
        """Whether it is made for development, and not to be deployed with."""

    @property
    def packages(self) -> tuple[Package, ...]:
        """What must be installed, if anything."""

    @property
    def options(self) -> tuple[Option, ...]: ...

    def unsupported(self, platform: str, options: Options) -> str | None:
        """Why it does not run on this `sys.platform` with these options, also where they
        contradict each other; None where it does."""

    def concurrency(self, options: Options) -> Concurrency:
        """How many requests one backend runs at once with these options."""

    def start(self, job: Job) -> Running:
        """Take a socket or a port from `job`, and its app, and be ready to serve.

        In the order of a deployment: what listens is made when the app is loaded."""


@runtime_checkable
class NeedsPrograms(Protocol):
    """A server that needs more than Python packages."""

    def require(self, nginx: str) -> None:
        """Raise MissingComponent for what is not there; `nginx` is which the user wants."""


@runtime_checkable
class SeveralProcesses(Protocol):
    """A server one backend of which may run the app in several processes."""

    def processes(self, options: Options) -> int:
        """In how many, with these options; 2 where each request has one of its own."""


@runtime_checkable
class Helped(Protocol):
    """A server whose backend process uses packages of the lab's own, beside the server's."""

    @property
    def helpers(self) -> tuple[Package, ...]:
        """What another Python that lacks it is lent together with the server."""


@runtime_checkable
class Complaining(Protocol):
    """A server, or a front, whose log has words of its own for what is wrong."""

    def complaint(self, line: str) -> tuple[str, bool] | None:
        """The kind of what a line of its log complains of, and whether that is an error; None for
        any other line. Tracebacks and lines of level ERROR need no words: they are always found."""


@runtime_checkable
class Deployable(Protocol):
    """A server that can be deployed on Windows."""

    def production(self, place: Place) -> Production:
        """How it runs the app there, without the lab, as `start` does in it."""


def server_names() -> list[str]:
    """Every server's name, installed or not."""
    return list(names(__name__))


def get_server(name: str) -> Server:
    """The server of that name. UsageError with the nearest names when there is none,
    MissingComponent when another package adds it and it cannot be used."""
    return cast(Server, member(__name__, "server", name, "SERVER").SERVER)


def packages() -> Iterator[str]:
    """The names of what the servers need; one that cannot be used needs nothing."""
    for name in server_names():
        with suppress(UsageError, MissingComponent):
            yield from (package.name for package in get_server(name).packages)


def made_for_development(name: str) -> bool:
    """Whether a server is made for development; not where its file says nothing about it."""
    return bool(getattr(get_server(name), "development", False))


def server_module(name: str) -> str:
    """The full name of the module that defines that server."""
    return member(__name__, "server", name, "SERVER").__name__


def require_server(
    server: Server,
    platform: str,
    given: Options | None = None,
    nginx: str = "auto",
    python: AppPython | None = None,
) -> None:
    """Raise what keeps `server` from running in this Python with the options that are `given`, if
    anything does; or in `python`, which is lent what it lacks."""

    reason = server.unsupported(platform, defaults(server.options, {}))
    if reason:
        raise UsageError(f"{server.name} does not run here: {reason}")
    reason = server.unsupported(platform, defaults(server.options, given or {}))
    if reason:
        options = "".join(f":{key}={value}" for key, value in (given or {}).items())
        raise UsageError(f"{server.name}{options.lower()} cannot be: {reason}")
    if python is not None:
        _require_file(server, python)
    reason = _lacking(server.packages, server, python)
    if reason:
        mend = _pip(server) if python is None else _pip_of(python, server.packages)
        raise MissingComponent(server.name, reason, mend)
    if isinstance(server, NeedsPrograms):
        server.require(nginx)


def require_sample_app(server: Server, python: AppPython | None = None) -> None:
    """Raise AppError where the Python that runs `server` has no Flask for the sample app: this one,
    or `python` with what that is lent."""
    reason = _lacking((FLASK,), server, python)
    if reason:
        mend = _extra("flask") if python is None else _pip_of(python, (FLASK,))
        raise AppError(
            f"the sample app needs Flask: {reason}\n  to get it: {mend}; or name your app by --app"
        )


def lent(server: Server, python: AppPython) -> list[str]:
    """The requirements of what another Python lacks to run the server."""
    helpers = server.helpers if isinstance(server, Helped) else ()
    return [
        str(package)
        for package in (*server.packages, *helpers)
        if not package.optional and python.version_of(package.name) is None
    ]


def _require_file(server: Server, python: AppPython) -> None:
    """This package's own servers go with it, but one that another package adds does not."""
    adds = owner(__name__, server.name)
    if adds is not None and python.version_of(adds) is None:
        raise MissingComponent(
            server.name,
            f"the package {adds}, which adds this server, is not installed in {python.prefix}",
            f"{python.command} -m pip install {adds}",
        )


def _lacking(packages: tuple[Package, ...], server: Server, python: AppPython | None) -> str:
    """What of these is missing or too old where the server runs; empty when all are there."""
    from packaging.version import Version

    version_of: Callable[[str], str | None] = _version_here
    where = ""
    if python is not None:
        version_of, where = _versions_in(python, server), f" in {python.prefix}"
    for package in packages:
        found = version_of(package.name)
        if found is None:
            if not package.optional:
                return f"the Python package {package.name} is not installed{where}"
        elif Version(found) < Version(package.oldest):
            return f"{package.name} {found}{where} is too old, {package.oldest} or later is needed"
    return ""


def _version_here(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _versions_in(python: AppPython, server: Server) -> Callable[[str], str | None]:
    """The versions there; of what can be lent, one that works."""
    oldest = {package.name: package.oldest for package in server.packages if not package.optional}
    return lambda name: python.version_of(name) or oldest.get(name)


def _needed(packages: tuple[Package, ...]) -> str:
    return " ".join(f'"{package}"' for package in packages)


def _pip_of(python: AppPython, packages: tuple[Package, ...]) -> str:
    return f"{python.command} -m pip install {_needed(packages)}"


def _pip(server: Server) -> str:
    """The one line that gets what a server needs."""
    if server.name in own_names(__name__):
        return _extra(server.name)
    return f"python -m pip install {_needed(server.packages)}"


def _extra(name: str) -> str:
    return f'python -m pip install "pytest-winserve[{name}]"'
