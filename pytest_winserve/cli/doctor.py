"""`winserve doctor`."""

from __future__ import annotations

from typing import Any

import click

from pytest_winserve.cli.shared import explained, options, settings_of


@click.command()
@options("nginx", "host", "provision")
def doctor(**given: Any) -> None:
    """What this machine can run, and the one line that gets each missing part."""
    from pytest_winserve.cli.parts import findings

    with explained():
        for finding in findings(settings_of(given)):
            click.echo(f"{finding.state:8} {finding.name:12} {finding.detail}")
            if finding.mend:
                click.echo(f"{'':21} get it: {finding.mend}")
