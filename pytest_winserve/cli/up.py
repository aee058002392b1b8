"""`winserve up`."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.shared import SERVING, explained, options, served, settings_of
from pytest_winserve.errors import WinserveError

if TYPE_CHECKING:
    from pytest_winserve.lab.site import Site


LOOK_EVERY = 0.25


@click.command()
@click.argument("topology")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="the port (default: any)")
@options(*SERVING)
def up(topology: str, port: int, **given: Any) -> None:
    """Serve an app in a TOPOLOGY until Ctrl-C, showing its logs.

    SIGTERM stops it in the same way, with status 0. So does SIGINT, also where it was ignored when
    the command was started, as in a job in the background of a script.
    """
    # Nothing else would end it, and what such a script starts is to end with the script.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with explained(), served(topology, settings_of(given), port) as site:
        try:
            click.echo(f"{site.topology} on {site.url} (Ctrl-C stops it)")
            if "python_prefix" in site.machine:
                click.echo(f"  the app's Python: {site.machine['python_prefix']}")
            for name, pid in site.deployment.pids().items():
                click.echo(f"  {name}: pid {pid}")
            follow_logs(site)
        except KeyboardInterrupt:
            click.echo("stopping")


def follow_logs(site: Site) -> None:
    """Print what the site logs, without an end. Raises WinserveError when something of it dies."""
    positions: dict[str, int] = {}
    known: list[str] = []
    while True:
        now = site.deployment.log_positions()
        for name, text in site.deployment.logs(positions).items():
            for line in text.splitlines():
                click.echo(f"{name}: {line}")
        positions = now
        deaths = [death for death in site.deaths() if death not in known]
        known += deaths
        if deaths:
            raise WinserveError("\n".join(deaths))
        time.sleep(LOOK_EVERY)
