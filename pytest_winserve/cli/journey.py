"""`winserve journey`: a command for each thing that is done with journey files."""

from __future__ import annotations

import click

from pytest_winserve.cli.journey_check import check
from pytest_winserve.cli.journey_from_har import from_har
from pytest_winserve.cli.journey_new import new


@click.group()
def journey() -> None:
    """What users do, step by step, in files (TOML): make them, and try them."""


for command in (check, from_har, new):
    journey.add_command(command)
