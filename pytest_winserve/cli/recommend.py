"""`winserve recommend`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.shared import (
    FAILED,
    LOADING,
    MISSING,
    SERVING,
    USAGE,
    explained,
    options,
    settings_of,
)
from pytest_winserve.errors import UsageError
from pytest_winserve.session.display import Watch
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.recommend.search import Search
    from pytest_winserve.session.environment import RunEnvironment


@click.command()
@click.argument("topologies", nargs=-1, metavar="[TOPOLOGY]...")
@click.option("--duration", metavar="S", help="seconds of each run (default: 3)")
@click.option("--margin", default="10%", metavar="SHARE",
              help="what a rate may be lower by and be the same (default: 10%)")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=30,
              help="the most runs of a candidate (default: 30)")  # fmt: skip
@click.option("--fresh", is_flag=True, help="begin anew, also where a run was interrupted")
@options(*SERVING, *(name for name in LOADING if name != "duration"), "slow", "hold")
def recommend(
    topologies: tuple[str, ...], margin: str, rounds: int, fresh: bool, **given: Any
) -> None:
    """Try every way of serving an app that there is here, and rank them.

    Tries the servers alone and behind a front, with one and four backends, or only each TOPOLOGY.
    What meets the criteria (--require; unless given: non_blocking, error_rate < 1%, unaccounted ==
    0) is ranked by its rate. A run that was interrupted goes on where it was.
    """
    with explained():
        sys.exit(recommended(topologies, margin, rounds, fresh, settings_of(given)))


def recommended(
    topologies: Sequence[str], margin: str, rounds: int, fresh: bool, settings: Settings
) -> int:
    """Search, show what was found, write the report; the exit status."""
    from pytest_winserve.compare.arguments import share
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.recommend.search import (
        Search,
        SearchRules,
        adjusted,
        chosen,
        key_of,
        new_lab,
    )
    from pytest_winserve.recommend.trials import open_trials, place_of
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.load_arguments import check_load
    from pytest_winserve.session.results import canonical
    from pytest_winserve.system.waits import told

    rules = SearchRules(share("--margin", margin), rounds)
    settings = adjusted(settings)
    check_load(settings)
    environment = RunEnvironment(settings)
    criteria = [canonical(text) for text in settings.require]
    lab = new_lab(settings, criteria)
    surveys = Surveys(Watch())
    candidates = chosen(topologies, lab.host, settings.command, surveys, settings.slow)
    with told(Watch().waiting, f"the host {lab.host.name} is looked at"):
        key = key_of(environment, criteria, lab.host)
    place = place_of(settings.command or settings.app, lab.host.name)
    with open_trials(place, key, fresh=fresh) as trials, lab:
        if trials.told:
            click.echo(trials.told)
        search = Search(settings, criteria, rules, trials, Watch(), click.echo)
        if not topologies:
            search.left_out += surveys.of(lab.host, settings.command).left_out
        try:
            ranking = search.run(lab, candidates)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; this is what was found up to now:\n")
            show_ranking(search, environment)
            click.echo("\nThe same command goes on from here.")
            return FAILED
        trials.finish()
        click.echo()
        # Before the way to the host is closed, which may go wrong.
        written = show_ranking(search, environment)
    if not trials.records:
        return FAILED if search.several.lost else MISSING
    if all(record.error == UsageError.__name__ for record in trials.records):
        return USAGE
    return 0 if ranking.winner is not None and written else FAILED


def show_ranking(search: Search, environment: RunEnvironment) -> bool:
    """Print the ranking and write the report; False when that could not be written."""
    from pytest_winserve.recommend.deployed import how_to_deploy
    from pytest_winserve.recommend.text import render
    from pytest_winserve.report.record import NotTried
    from pytest_winserve.session.results import RunResults
    from pytest_winserve.topology import Topology

    host = environment.settings.host[0]
    left_out = [NotTried.from_dict({"host": host, **lacks.to_dict()}) for lacks in search.left_out]
    ranking = search.ranking()
    text = render(ranking, left_out, search.several)
    if ranking.winner is not None:
        winner = Topology.parse(ranking.winner.topology)
        text += "".join(f"{line}\n" for line in how_to_deploy(winner, environment.settings))
    click.echo(text, nl=False)
    results = RunResults(environment, lambda: left_out, text.splitlines())
    for record in search.trials.records:
        results.add(record)
    written = results.write()
    for line in (*results.not_your_app, *results.whose_python, *results.told):
        click.echo(line)
    return written
