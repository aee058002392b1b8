"""`winserve deploy`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from pytest_winserve.cli.shared import explained, options, settings_of
from pytest_winserve.session.settings import Settings

DEPLOYED_WITH = ("app", "chdir", "env_file", "python", "start_timeout", "fast", "nginx")
NSSM, FILES = "nssm", "files"
PORT = 8080
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - Windows' firewall lets nobody in until firewall.cmd was run


@click.command()
@click.argument("topology")
@click.option("--to", "folder", required=True, metavar="DIR", help="the folder to write")
@click.option("--name", metavar="NAME", help="of the services (default: the name of DIR)")
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True,
              help="the port that clients reach")  # fmt: skip
@click.option("--address", default=ANY_ADDRESS, show_default=True, metavar="A",
              help="the address that clients reach; 127.0.0.1: from that machine only")  # fmt: skip
@click.option("--backend-port", type=click.IntRange(1, 65_535), metavar="N",
              help="the first port of the backends (default: the one after --port)")  # fmt: skip
@click.option("--services", metavar="KIND",
              help="nssm or winsw: Windows services by that program; iis: a site of IIS, which is "
              "the front; files: run by hand (default: nssm; not on Windows: files)")  # fmt: skip
@click.option("--renew", is_flag=True, help="write over an earlier deployment in DIR")
@click.option("--even-development", is_flag=True, help="deploy a server that is made for "
              "development")  # fmt: skip
@options(*DEPLOYED_WITH)
def deploy(
    topology: str, folder: str, name: str | None, port: int, address: str,
    backend_port: int | None, services: str | None, renew: bool, even_development: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Write a folder that runs an app in a TOPOLOGY on Windows, as services, without this package.

    Nothing is installed by this command: DIR has an install.cmd, and a README.txt that says what
    the other files are.
    """
    with explained():
        steps = written(
            topology, Path(folder).absolute(), settings_of(given), renew, even_development,
            name=name, services=services or (NSSM if os.name == "nt" else FILES),
            address=address, port=port, backend_port=backend_port or port + 1,
        )  # fmt: skip
        for line in steps:
            click.echo(line)


def written(
    topology: str,
    folder: Path,
    settings: Settings,
    renew: bool,
    even_development: bool,
    *,
    name: str | None,
    services: str,
    **where: Any,
) -> list[str]:
    """Check all of it, then write the folder; what to tell the user. Raises UsageError."""
    from pytest_winserve.deploy.app import find_app
    from pytest_winserve.deploy.folder import write
    from pytest_winserve.deploy.order import (
        Order,
        check_environment_files,
        check_folder,
        check_name,
        check_ports,
        check_topology,
    )
    from pytest_winserve.session.labs import LOCAL, other_python
    from pytest_winserve.shipping.app_python import look_at
    from pytest_winserve.topology import Topology

    parsed = Topology.parse(topology)
    check_topology(parsed, services, even_development)
    check_name(name or folder.name)
    check_folder(folder, renew)
    files = tuple(Path(file).absolute() for file in settings.env_file)
    check_environment_files(files)
    python = other_python(settings, LOCAL) or look_at(sys.executable)
    app = find_app(
        settings.app, Path.cwd() / (settings.chdir or ""), python, settings.environment,
        settings.start_timeout,
    )  # fmt: skip
    order = Order(
        parsed, app, folder, name or folder.name, services=services, python=python,
        environment_files=files, nginx=settings.nginx, fast=settings.fast or "/",
        start_timeout=settings.start_timeout, **where,
    )  # fmt: skip
    order.kind.check(order)
    if not renew:
        check_ports(order)
    steps = write(order)
    told = f"{parsed}, the app {settings.app} with Python {python.version} in {python.prefix}"
    return [f"{order.folder}: {told}", "next:", *(f"  {step}" for step in steps)]
