"""What is to be deployed, and what is refused before anything is written."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from pytest_winserve.deploy.app import DeployedApp
from pytest_winserve.errors import UsageError
from pytest_winserve.fronts import DeployableFront, get_front
from pytest_winserve.registry import member, names
from pytest_winserve.servers import Deployable, Production, get_server, server_names
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.system.ports import ADDRESS, Address, bound_socket
from pytest_winserve.topology import Topology

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
WINDOWS = "win32"
KINDS = "pytest_winserve.deploy.services"
MARKER = "settings.py"
"""The file by which a folder is known as a deployment; its first line says so."""
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Order:
    """A topology with one app, to be written to `folder`. `address` and `port` are what clients
    reach; backends behind a front listen at the `backend_port` and the ports after it."""

    topology: Topology
    app: DeployedApp
    folder: Path
    name: str
    address: str
    port: int
    backend_port: int
    services: str
    python: AppPython
    environment_files: tuple[Path, ...]
    nginx: str
    fast: str
    start_timeout: float

    @property
    def kind(self) -> Services:
        """The kind of services."""
        return get_services(self.services)

    @property
    def front(self) -> str | None:
        """The front that is deployed; None where there is none, or the services are one."""
        return None if self.kind.gives_port else self.topology.front

    @property
    def listens(self) -> list[Address]:
        """Where the backends listen."""
        if self.topology.front is None:
            return [(self.address, self.port)]
        return [(ADDRESS, self.backend_port + number) for number in range(self.topology.count)]


class Services(Protocol):
    """A kind of services. The template `install_NAME.txt.j2` says in the README how it is used."""

    @property
    def name(self) -> str: ...

    @property
    def on_windows_only(self) -> bool:
        """Whether the folder is written on the Windows machine that it is for."""

    @property
    def commands(self) -> Mapping[str, str]:
        """The batch files, each with what it does; the names are commands of control.py."""

    @property
    def after_a_change(self) -> str:
        """What brings a change of settings.py into effect, as in "After a change: ..."."""

    @property
    def gives_port(self) -> str:
        """Where it takes the place of the topology's front: what stands for the port that it gives
        each backend; empty where it is none."""

    @property
    def rotates(self) -> str:
        """When a log of logs/ is followed by a new one, as the end of a sentence."""

    def check(self, order: Order) -> None:
        """Raise UsageError for what this kind cannot run."""

    def get(self, order: Order) -> None:
        """Put programs that it needs into the folder. Raises MissingComponent."""

    def texts(self, order: Order, productions: Sequence[Production]) -> Mapping[str, str]:
        """Its own files, by name."""

    def next_steps(self, order: Order) -> Iterator[str]:
        """What is to be done when the folder is written."""


def services_names() -> list[str]:
    return list(names(KINDS))


def get_services(name: str) -> Services:
    """The kind of that name. UsageError when there is none."""
    if name not in services_names():
        raise UsageError(f"--services={name}: one of {', '.join(services_names())} is needed")
    return cast(Services, member(KINDS, "kind of services", name, "SERVICES").SERVICES)


def check_topology(topology: Topology, services: str, even_development: bool) -> None:
    """Raise UsageError where it cannot be deployed on Windows, or not like this."""
    kind = get_services(services)
    if kind.on_windows_only and sys.platform != WINDOWS:
        raise UsageError(
            f"--services={services}: services are installed on Windows; run this there, or give "
            "--services files for a folder that is run by hand here"
        )
    server = get_server(topology.server)
    reason = server.unsupported(WINDOWS, topology.server_options)
    if reason:
        raise UsageError(f"{topology} cannot be deployed on Windows: {reason}")
    if not isinstance(server, Deployable):
        known = [n for n in server_names() if isinstance(get_server(n), Deployable)]
        raise UsageError(
            f"{topology.server} cannot be deployed by this command; what can be: {', '.join(known)}"
        )
    front = None if kind.gives_port else topology.front
    if front is not None and not isinstance(get_front(front), DeployableFront):
        raise UsageError(
            f"the front {topology.front} cannot be deployed by this command: use nginx"
        )
    if topology.secure:
        raise UsageError(
            f"{topology} cannot be deployed: only the lab trusts the certificate of front.tls; "
            "leave it out, and put a certificate of your own into the front's configuration"
        )
    if topology.development and not even_development:
        raise UsageError(
            f"{topology.server} is made for development; deploy a server that is made for "
            "production, such as waitress, or give --even-development"
        )


def check_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a service."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"--name={name}: a name of services begins with a letter and has letters, digits, - "
            "and _ only, up to 60 of them, as in: --name shop"
        )


def check_folder(folder: Path, renew: bool) -> None:
    """Raise UsageError unless it is new, empty, or an earlier deployment that is to be renewed."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--to={folder}: it is a file; name a folder")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not there:
        return
    shown = ", ".join(there[:5]) + (", ..." if len(there) > 5 else "")
    if not is_deployment(folder):
        raise UsageError(f"--to={folder}: it is not empty ({shown}); name a new folder")
    if not renew:
        raise UsageError(
            f"--to={folder}: there is an older deployment, and its settings.py and the front's "
            "configuration would be overwritten; give --renew to write them anew, then run "
            "install.cmd there, or name a new folder"
        )


def is_deployment(folder: Path) -> bool:
    file = folder / MARKER
    return file.is_file() and file.read_text("utf-8").startswith("# What is deployed here.")


def refuse_percent(order: Order, who: str) -> None:
    """Raise UsageError for a path with a percent sign, of which `who` would make a variable."""
    for what, path in (("--to", str(order.folder)), ("--python", order.python.command)):
        if "%" in path:
            raise UsageError(
                f"{what}={path}: {who} takes what is between two % for a variable; with "
                f"--services {order.services} name a path without %"
            )


def check_ports(order: Order) -> None:
    """Raise UsageError for a port that is taken, or out of range. Whose services are a front has
    the ports from them."""
    if order.kind.gives_port:
        return
    if order.listens[-1][1] > HIGHEST_PORT:
        raise UsageError(
            f"the backends would listen on ports up to {order.listens[-1][1]}, and {HIGHEST_PORT} "
            "is the last; give a lower --backend-port"
        )
    clients = [] if order.topology.front is None else [(order.address, order.port)]
    if order.port in [port for _, port in order.listens] and clients:
        raise UsageError(
            f"--backend-port={order.backend_port}: the port {order.port} is the front's; give "
            "another one"
        )
    for address, port in [*clients, *order.listens]:
        try:
            bound_socket(port, address).close()
        except UsageError as error:
            raise UsageError(
                f"{address}: {error}; name another one by --port or --backend-port"
            ) from None


def check_environment_files(files: tuple[Path, ...]) -> None:
    """Raise UsageError for one that is not there or cannot be read. It is not looked into."""
    for file in files:
        try:
            file.read_bytes()
        except OSError as error:
            raise UsageError(f"--env-file {file}: {error.strerror}") from None
