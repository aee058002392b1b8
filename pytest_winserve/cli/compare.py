"""`winserve compare`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.load import load_site, plan_of, show_unmet
from pytest_winserve.cli.shared import (
    FAILED,
    LOADING,
    SERVING,
    explained,
    options,
    plan_options,
    served,
    settings_of,
)
from pytest_winserve.errors import UsageError, WinserveError
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.compare.comparison import Comparison, ComparisonRules, Side
    from pytest_winserve.compare.turns import Turn
    from pytest_winserve.lab.site import Site
    from pytest_winserve.session.results import RunResults
    from pytest_winserve.topology import Topology


NAME = "winserve compare"
SIDES = "A.json B.json | AB.json | TOPOLOGY_A TOPOLOGY_B"


@click.command()
@click.argument("sides", nargs=-1, required=True, metavar=SIDES)
@click.option("--margin", default="5%", metavar="SHARE",
              help="what a rate or time may differ by and be the same (default: 5%)")  # fmt: skip
@click.option("--error-margin", default="0.1%", metavar="SHARE",
              help="what an error rate may differ by and be the same (default: 0.1%)")  # fmt: skip
@click.option("--strict", is_flag=True, help="status 1 also when something stays undecided")
@click.option("--runs", type=click.IntRange(2), help="runs of each topology (default: 6)")
@click.option("--warmup", type=click.FloatRange(0), metavar="S",
              help="seconds before each run that are not counted (default: 1)")  # fmt: skip
@plan_options
@options(*SERVING, *(name for name in LOADING if name != "warmup"))
def compare(
    sides: tuple[str, ...], margin: str, error_margin: str, strict: bool, runs: int | None,
    warmup: float | None, path: str | None, count: int | None, rate: float | None,
    no_keepalive: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare results, run by run: is B better or worse than A?

    A.json and B.json are the results.json of two reports, or folders with several of them. AB.json
    is what this command has written with --report. Two topologies are run here, in turns.
    """
    from pytest_winserve.compare import arguments
    from pytest_winserve.compare.comparison import ComparisonRules
    from pytest_winserve.compare.text import render

    with explained():
        settings = settings_of(given)
        rules = ComparisonRules(
            arguments.share("--margin", margin),
            arguments.share("--error-margin", error_margin),
            settings.limited == "allow",
        )
        if arguments.are_files(sides):
            own = {"runs": runs, "warmup": warmup, "path": path, "count": count, "rate": rate,
                   "no-keepalive": no_keepalive, **given, "limited": None}  # fmt: skip
            needless = [
                f"--{name.replace('_', '-')}"
                for name, value in own.items()
                if value not in (None, False, ())
            ]
            if needless:
                raise UsageError(f"{', '.join(needless)}: for topologies only, not for files")
            found, good = arguments.compare_files(sides, rules), True
            click.echo(render(found, rules), nl=False)
        else:
            plan = plan_of(settings, path, count, rate, no_keepalive)
            plan["warmup"] = 1.0 if warmup is None else warmup
            both = arguments.topologies(sides)
            found, good = run_in_turns(both, plan, settings, runs or 6, rules)
        sys.exit(0 if good and not found.failed(strict=strict) else FAILED)


def run_in_turns(
    topologies: Mapping[Side, Topology],
    plan: Mapping[str, Any],
    settings: Settings,
    runs: int,
    rules: ComparisonRules,
) -> tuple[Comparison, bool]:
    """Load two topologies in turns, both up all the time; show and write what came back.

    The comparison, and whether every criterion holds and the report was written. Raises
    WinserveError when a process of a site died.
    """
    from pytest_winserve.compare.sides import compare_sides
    from pytest_winserve.compare.text import render
    from pytest_winserve.compare.turns import turns
    from pytest_winserve.report import findings
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.results import RunResults

    results = RunResults(RunEnvironment(settings))
    order = turns(runs)
    good = True
    with ExitStack() as stack:
        sites = {side: stack.enter_context(served(str(topology), settings, 0))
                 for side, topology in topologies.items()}  # fmt: skip
        try:
            for number, turn in enumerate(order, 1):
                before = f"run {number} of {len(order)}, {turn.side} "
                good = one_run(sites[turn.side], turn, before, plan, settings, results) and good
        except (WinserveError, KeyboardInterrupt):
            # What was measured up to now is kept.
            if results.report().run.records and results.write():
                click.echo(results.told[-1])
            raise
        run = results.report().run
        found = compare_sides(run, rules)
        click.echo("\n" + render(found, rules), nl=False)
        for requirement in run.requirements:
            click.echo(findings.requirement_sentence(requirement).text)
        good = results.write() and good
        for line in (*results.hints("--require"), *results.told):
            click.echo(line)
    return found, good


def one_run(
    site: Site,
    turn: Turn,
    before: str,
    plan: Mapping[str, Any],
    settings: Settings,
    results: RunResults,
) -> bool:
    """Load a site once, tell of it and keep it; whether every criterion holds. Raises WinserveError
    when a process of the site died."""
    from pytest_winserve.report import findings

    record, result, lost = load_site(NAME, site, plan, settings, before)
    results.add(replace(record, side=turn.side, pair=turn.pair))
    click.echo(f"{before}{site.topology}: {findings.load_counts(result).text}")
    for warning in findings.load_warnings(result):
        click.echo(f"  {warning.text}")
    show_unmet(result, settings)
    if lost is not None:
        raise lost
    deaths = site.deaths()
    if deaths:
        raise WinserveError("\n".join([f"{before}{site.topology}:", *deaths]))
    return record.outcome == "passed"
