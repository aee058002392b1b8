"""What is to be deployed, and what is refused before anything is written."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.deploy.app import DeployedApp
from pytest_winserve.errors import UsageError
from pytest_winserve.fronts import DeployableFront, get_front
from pytest_winserve.servers import Deployable, get_server, server_names
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.system.ports import ADDRESS, Address, bound_socket
from pytest_winserve.topology import Topology

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
WINDOWS = "win32"
SERVICES = ("nssm", "files")
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
    def listens(self) -> list[Address]:
        """Where the backends listen."""
        if self.topology.front is None:
            return [(self.address, self.port)]
        return [(ADDRESS, self.backend_port + number) for number in range(self.topology.count)]


def check_topology(topology: Topology, services: str, even_development: bool) -> None:
    """Raise UsageError where it cannot be deployed on Windows, or not like this."""
    if services not in SERVICES:
        raise UsageError(f"--services={services}: one of {', '.join(SERVICES)} is needed")
    if services == "nssm" and sys.platform != WINDOWS:
        raise UsageError(
            "--services=nssm: services are installed on Windows; run this there, or give "
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
    if topology.front is not None and not isinstance(get_front(topology.front), DeployableFront):
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


def check_ports(order: Order) -> None:
    """Raise UsageError for a port that is taken, or out of range."""
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
