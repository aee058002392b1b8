"""`winserve doctor`."""

from __future__ import annotations

from typing import Any

import click

from pytest_winserve.cli.shared import explained, options, patient, settings_of


@click.command()
@options("python", "nginx", "host", "provision")
def doctor(**given: Any) -> None:
    """What this machine can run, and the one line that gets each missing part."""
    from pytest_winserve.cli.parts import findings

    with explained():
        settings = settings_of(given)
        with patient("the next part is looked at") as tell:
            for finding in findings(settings):
                tell(f"{finding.state:8} {finding.name:12} {finding.detail}")
                if finding.mend:
                    tell(f"{'':21} get it: {finding.mend}")
