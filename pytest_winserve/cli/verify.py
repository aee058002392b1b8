"""`winserve verify`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.load import judged, path_of, plan_of, send, show_unmet
from pytest_winserve.cli.shared import (
    FAILED,
    LOADING,
    during_option,
    explained,
    options,
    plan_options,
    settings_of,
)
from pytest_winserve.errors import UsageError
from pytest_winserve.session.display import Watch
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.compare.comparison import ComparisonRules
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.probe.verdicts import SlowRequest
    from pytest_winserve.report.record import Record
    from pytest_winserve.verify.during import Planned
    from pytest_winserve.verify.like import Measured
    from pytest_winserve.verify.questions import Outside

NAME = "winserve verify"
USERS, SECONDS = 20, 5.0
"""Of the load, unless it is said: the site may have users already."""
RUNS_LIKE = 3
"""Loads with --like: fewer than two cannot tell how runs differ."""
NOT_ASKED = (
    "not asked, whether a slow request blocks a fast one, and how many run at once: give --slow, a "
    "path of the site's own that takes about a second"
)
OF_THE_LOAD = (
    "path", "count", "rate", "no_keepalive", "engine", "users", "duration", "method", "data",
    "json", "requests", "journey", "think", "warmup", "timeout", "stages",
)  # fmt: skip


@click.command()
@click.argument("url")
@click.option("--like", metavar="FILE",
              help="the results.json, or its folder, that the site is held against")  # fmt: skip
@click.option("--topology", metavar="T", help="which of the topologies in --like it is")
@click.option("--runs", type=click.IntRange(1),
              help=f"how many loads are sent (default: 1; with --like {RUNS_LIKE})")  # fmt: skip
@click.option("--margin", default="10%", show_default=True, metavar="SHARE",
              help="what a rate or time may differ by from --like and be the same")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=64, show_default=True, metavar="N",
              help="the most slow requests that are sent at once")  # fmt: skip
@during_option
@plan_options
@options("slow", "fast", "hold", "header", "cookie", "auth", "host_header", "ca", "insecure",
         *(name for name in LOADING if name != "load_from"))  # fmt: skip
def verify(
    url: str, like: str | None, topology: str | None, runs: int | None, margin: str, limit: int,
    during: tuple[str, ...], **given: Any,
) -> None:  # fmt: skip
    """Ask a site that runs the lab's questions from outside, and hold it against earlier results.

    Does it answer, does a slow request block a fast one, how many run at once (these two need
    --slow, a path of its own that takes about a second), and what becomes of a load: 20 users for
    5 s, unless it is said, or the load of --like.
    """
    from pytest_winserve.compare.arguments import share
    from pytest_winserve.compare.comparison import ComparisonRules
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.report.record import Record
    from pytest_winserve.verify.during import planned
    from pytest_winserve.verify.like import measured
    from pytest_winserve.verify.questions import base_of

    with explained():
        base_of(url)
        if topology is not None and like is None:
            raise UsageError(f"--topology={topology}: it says which one of --like FILE is meant")
        before = None if like is None else measured(like, topology)
        if before is not None:
            refuse_of_the_load(given)
        own = {name: given.pop(name) for name in ("path", "count", "rate", "no_keepalive")}
        settings = gentle(settings_of(given))
        if before is None:
            path = own["path"] or (path_of(url) if nothing_else_is_sent(settings) else None)
            plan = Plan.make(**plan_of(settings, path, own["count"], own["rate"],
                                       own["no_keepalive"]))  # fmt: skip
        else:
            plan = before.plan
        rules = ComparisonRules(
            share("--margin", margin), allow_limited=settings.limited == "allow"
        )
        plans = planned(during, plan.seconds)
        site = outside(url, settings, before)
        fast = settings.fast or path_of(url)
        slow = settings.slow or (None if before is None else before.slow)
        click.echo(f"{site.base}: {site.reach(fast)}")
        record = replace(
            Record(NAME, "passed", topology=site.base, host="-", app="-", declared=site.declared),
            **asked(site, site.slow_request(slow, fast, settings.hold), fast, limit),
        )
        engine = settings.engine if before is None else before.engine
        runs = runs or (1 if before is None else RUNS_LIKE)
        for _ in range(runs):
            record = loaded(record, plan, engine, settings, plans)
        sys.exit(shown(record, before, rules, settings))


def gentle(settings: Settings) -> Settings:
    """With fewer users, and for a shorter time, where nobody says how many."""
    return replace(
        settings,
        users=settings.users if "users" in settings.given else USERS,
        duration=settings.duration if "duration" in settings.given else SECONDS,
    )


def nothing_else_is_sent(settings: Settings) -> bool:
    """Whether a load is of a path alone."""
    return (settings.requests, settings.journey) == (None, None)


def outside(url: str, settings: Settings, before: Measured | None) -> Outside:
    """The site at the URL, and what is known of it."""
    from pytest_winserve.session.labs import headers_of
    from pytest_winserve.session.trusted import trust_of
    from pytest_winserve.verify.questions import Outside, base_of

    site = Outside(base_of(url), headers_of(settings), trust_of(settings))
    if before is not None:
        site.backends, site.declared = before.topology.count, before.declared
    return site


def asked(site: Outside, slow: SlowRequest | None, fast: str, limit: int) -> dict[str, Any]:
    """The verdict and the capacity, as parts of a record; an event says why there are none."""
    from pytest_winserve.report.measurements import CapacityRecord, VerdictRecord
    from pytest_winserve.system.locks import measuring, wait_text

    if slow is None:
        return {"events": (NOT_ASKED,)}
    live = Watch()
    with measuring(lambda seconds: live.waiting(wait_text(seconds))):
        verdict, capacity = site.probe(slow, fast), site.capacity(slow, limit)
    nothing_judged: dict[str, Any] = {"checks": []}
    return {
        "verdicts": (VerdictRecord.from_dict(verdict.to_dict() | nothing_judged),),
        "capacities": (CapacityRecord.from_dict(capacity.to_dict() | nothing_judged),),
    }


def loaded(
    record: Record, plan: Plan, engine: str, settings: Settings, plans: Sequence[Planned]
) -> Record:
    """The record with one more load, judged by the run's criteria, and what happened meanwhile."""
    from pytest_winserve.verify.during import During, run_command

    happens = During(plans, run_command)
    result = send(record.topology, plan, engine, settings, happens.follow)
    one = judged(record, result, settings)
    outcome = "passed" if {record.outcome, one.outcome} == {"passed"} else "failed"
    both = replace(record, outcome=outcome, results=(*record.results, *one.results))
    return happens.told_in(both, result)


def shown(
    record: Record, before: Measured | None, rules: ComparisonRules, settings: Settings
) -> int:
    """Print what was found, write the report; the exit status."""
    from pytest_winserve.compare.text import render as compared
    from pytest_winserve.report import terminal
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.results import RunResults
    from pytest_winserve.verify.like import held_against, told

    results = RunResults(RunEnvironment(settings))
    results.add(record)
    click.echo(terminal.render(results.report(), width=80, color=sys.stdout.isatty()))
    for load in record.results:
        show_unmet(load.result, settings)
    good = record.outcome == "passed" and all(
        load.result.answered > 0 and not load.result.broken for load in record.results
    )
    if before is not None:
        found = held_against(before, record, rules)
        click.echo(f"held against {told(before)}\n\n{compared(found, rules)}", nl=False)
        good = good and not found.failed(strict=False)
    written = results.write()
    for line in results.told:
        click.echo(line)
    return 0 if good and written else FAILED


def refuse_of_the_load(given: dict[str, Any]) -> None:
    """Raise UsageError where --like says what the load is, and options say it, too."""
    said = [name for name in OF_THE_LOAD if given[name] not in (None, False, ())]
    if said:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise UsageError(f"{listed} with --like: its load is sent again; leave out the one or the "
                         "other")  # fmt: skip
