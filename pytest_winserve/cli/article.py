"""`winserve article`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.shared import (
    FAILED,
    MISSING,
    explained,
    options,
    served,
    settings_of,
)
from pytest_winserve.errors import MissingComponent, UsageError, WinserveError
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.article.outcome import Made
    from pytest_winserve.lab.site import Site

DURATION = 25.0
"""Seconds of each load: all of it then takes less than six minutes."""


@click.command()
@options("users", "duration", "start_timeout", "host", "provision", "nginx", "load_from", "engine",
         "report")  # fmt: skip
def article(**given: Any) -> None:
    """Make the experiments of the article that this project grew from, and show what it published
    beside what is measured here. --users is the number of its smaller loads (500); the larger ones
    have twice as many. --duration is that of each of its five loads (25 s).
    """
    from pytest_winserve.article.experiments import USERS
    from pytest_winserve.report import make_folder

    with explained():
        settings = settings_of(given)
        if settings.report is not None:
            make_folder(settings.report)  # now, and not after minutes
        users = settings.users if "users" in settings.given else USERS
        duration = settings.duration if "duration" in settings.given else DURATION
        sys.exit(_make(settings, users, duration))


def _make(settings: Settings, users: int, duration: float) -> int:
    """Make the experiments, show and write what came of them, also when they are interrupted."""
    from pytest_winserve.article.experiments import EXPERIMENTS
    from pytest_winserve.article.outcome import Made, shown
    from pytest_winserve.article.running import FAST, SLOW, run
    from pytest_winserve.backend import SAMPLE_APP

    def serve(topology: str) -> AbstractContextManager[Site]:
        return served(topology, settings, 0)

    settings = replace(settings, app=SAMPLE_APP, command=None, slow=SLOW, fast=FAST, require=())
    made = Made(users, duration)
    status = 0
    try:
        for number, experiment in enumerate(EXPERIMENTS, 1):
            before = f"experiment {number} of {len(EXPERIMENTS)}, {experiment.title(users)}: "
            keep = partial(made.records.__setitem__, experiment.name)
            try:
                run(experiment, serve, users, duration, keep, before)
            except UsageError:
                raise
            except WinserveError as error:
                made.failures[experiment.name] = str(error)
                status = MISSING if isinstance(error, MissingComponent) else FAILED
                click.echo(f"{before}{error}")
            if experiment.name in made.records:
                click.echo(f"{before}{shown(made.records[experiment.name])}")
    except KeyboardInterrupt:
        click.echo("winserve: interrupted")
        _show(made, settings)
        raise
    written = _show(made, settings)
    return status or (0 if written else FAILED)


def _show(made: Made, settings: Settings) -> bool:
    """Print the outcome and write it with the report of the run; False when it was not written."""
    from pytest_winserve.article import html, text
    from pytest_winserve.article.outcome import Outcome
    from pytest_winserve.deployment.this_machine import system
    from pytest_winserve.report import write_texts
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.results import RunResults

    if not made.records:
        return False
    machines = [record.machine for record in made.records.values() if record.machine]
    where = str(machines[0]["os"]) if machines else system()
    outcome = Outcome.of(made, where)
    click.echo("\n" + text.render(outcome), nl=False)
    results = RunResults(RunEnvironment(settings))
    for record in made.records.values():
        results.add(record)
    written = results.write()
    if written and settings.report is not None:
        pages = {"article.md": text.render_markdown(outcome), "article.html": html.render(outcome)}
        try:
            write_texts(settings.report, pages)
        except (UsageError, OSError) as error:
            click.echo(f"winserve: {', '.join(pages)} could not be written: {error}")
            written = False
    for line in results.told:
        click.echo(line)
    return written
