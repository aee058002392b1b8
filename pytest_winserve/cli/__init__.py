"""The command `winserve`. Exit status: 0 good, 1 a check failed, 2 wrong usage, 3 something that
the lab needs is missing here."""

from __future__ import annotations

import os
import signal
import sys

import click

from pytest_winserve.cli.article import article
from pytest_winserve.cli.check import check
from pytest_winserve.cli.compare import compare
from pytest_winserve.cli.deploy import deploy
from pytest_winserve.cli.doctor import doctor
from pytest_winserve.cli.journey import journey
from pytest_winserve.cli.load import load
from pytest_winserve.cli.recommend import recommend
from pytest_winserve.cli.routes import routes
from pytest_winserve.cli.setup import setup
from pytest_winserve.cli.up import up
from pytest_winserve.cli.verify import verify
from pytest_winserve.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="winserve")
def cli() -> None:
    """Shows which way of serving a Flask (WSGI) application holds up, and how each one fails."""


for command in (
    article, check, compare, deploy, doctor, journey, load, recommend, routes, setup, up,
    verify,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """The entry point. The current folder is where the app is looked for, as with `python -m`.
    SIGTERM ends a command as Ctrl-C does: what it has started is stopped first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    cli(prog_name="winserve")
