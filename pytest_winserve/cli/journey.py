"""`winserve journey`: a command for each thing that is done with journey files."""

from __future__ import annotations

import click

from pytest_winserve.cli.journey_check import check


@click.group()
def journey() -> None:
    """What users do, step by step, in files (TOML): try them."""


for command in (check,):
    journey.add_command(command)
