"""`winserve load`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import click

from pytest_winserve.cli.shared import (
    FAILED,
    LOADING,
    SERVING,
    during_option,
    explained,
    options,
    plan_options,
    served,
    settings_of,
)
from pytest_winserve.errors import CriterionFailed, HostLost
from pytest_winserve.session.display import Watch
from pytest_winserve.session.load_arguments import check_engine, load_arguments
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.lab.site import Site
    from pytest_winserve.load.criteria import Criterion
    from pytest_winserve.load.engine import Progress
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.load.results.result import Result
    from pytest_winserve.report.record import Record


LOG_LINES = 6
NAME = "winserve load"


@click.command()
@click.argument("target", metavar="TOPOLOGY|URL")
@during_option
@plan_options
@options(*SERVING, *LOADING, "ca", "insecure")
def load(
    target: str, path: str | None, count: int | None, rate: float | None, no_keepalive: bool,
    during: tuple[str, ...], **given: Any,
) -> None:  # fmt: skip
    """Send a load to an app in a TOPOLOGY, or to a URL that is served already."""
    from pytest_winserve.topology import Topology
    from pytest_winserve.verify.during import During, planned, run_command
    from pytest_winserve.verify.processes import Ends, check_ends

    with explained():
        settings = settings_of(given)
        beside = settings.requests or settings.journey
        if path is None and "://" in target and beside is None:
            path = path_of(target)
        plan = plan_of(settings, path, count, rate, no_keepalive)
        plans = planned(during, plan["duration"])
        if "://" in target:
            happens = During(plans, run_command)
            record, result = load_url(target, plan, settings, happens.follow)
            status = show(happens.told_in(record, result), result, settings)
        else:
            check_ends(plans, Topology.parse(target), settings.host[0])
            with served(target, settings, 0) as site:
                happens = During(plans, Ends(site.deployment.pids()))
                site.on_progress = happens.follow
                record, result, lost = load_site(NAME, site, plan, settings)
                record = happens.told_in(record, result)
                # Before the site is stopped: whatever happens then, this is what was measured.
                status = show(record, result, settings)
                if result.errors or status:
                    show_logs(site.logs())
                if lost is not None:
                    raise lost
        sys.exit(status)


def plan_of(
    settings: Settings, path: str | None, count: int | None, rate: float | None, no_keepalive: bool
) -> dict[str, Any]:
    """The arguments of a plan from the command line's. UsageError when it cannot be."""
    from pytest_winserve.load.plan import Plan

    plan = load_arguments(settings, path) | {
        "count": count,
        "rate": rate,
        "keepalive": not no_keepalive,
    }
    # In the open model it limits the requests in flight, and only if it was given.
    if rate is not None and "users" not in settings.given:
        plan["users"] = None
    if count is not None:
        plan["duration"] = None
    check_engine(settings, Plan.make(**plan))  # now, and not only when all is up
    return plan


def path_of(url: str) -> str:
    """The path of a URL, with the query."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path, parts.query, "")) or "/"


def load_url(
    url: str,
    plan: Mapping[str, Any],
    settings: Settings,
    on_progress: Callable[[Progress], None],
) -> tuple[Record, Result]:
    """Load what is served at a URL; the record of it, and the result in it."""
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.report.record import Record

    parts = urlsplit(url)
    base = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    result = send(base, Plan.make(**plan), settings.engine, settings, on_progress)
    record = Record(NAME, "passed", topology=base, host="-", app="-", declared="unknown")
    return judged(record, result, settings), result


def send(
    base: str,
    plan: Plan,
    engine: str,
    settings: Settings,
    on_progress: Callable[[Progress], None],
) -> Result:
    """Send a plan to a URL without a path; what came back."""
    from pytest_winserve.load.engine import Target
    from pytest_winserve.load.engines import get_engine
    from pytest_winserve.load.handshake import shake_hands
    from pytest_winserve.load.run_headers import not_shown
    from pytest_winserve.load.sending import singles, with_singles
    from pytest_winserve.session.labs import headers_of
    from pytest_winserve.session.trusted import trust_of
    from pytest_winserve.system.locks import measuring, wait_text
    from pytest_winserve.tags import lab_tag

    target = Target(base, trust=trust_of(settings))
    headers = headers_of(settings)
    sent = plan.with_headers(headers)
    live = Watch()

    def follow(progress: Progress) -> None:
        on_progress(progress)
        live.follow(progress)

    with measuring(lambda seconds: live.waiting(wait_text(seconds))):
        shake_hands(target)
        # Where it is a lab that serves there, it does not count this as its traffic.
        single = singles(sent, replace(target, warmup_tag=lab_tag(1)))
        result = get_engine(engine).run(sent, target, follow)
    live.progress("")
    return with_singles(replace(result, plan=plan.with_headers(not_shown(headers))), single)


def load_site(
    name: str, site: Site, plan: Mapping[str, Any], settings: Settings, before: str = ""
) -> tuple[Record, Result, HostLost | None]:
    """Load a site; the record of it under that name, and the result in it. `before` stands before
    what is shown. The error is of a host that was lost when the load was over."""
    from pytest_winserve.session.recorder import attach

    if plan.get("path") is None and not {"requests", "journeys"} & plan.keys():
        site.check_fast_path()
    recorder = attach(site, Watch(before))
    lost = None
    try:
        result = site.load(**plan)
    except HostLost as error:
        if not recorder.results:
            raise
        result, lost = recorder.results[0].result, error
        recorder.events.append(f"after the load: {str(error).partition(chr(10))[0]}")
    record = judged(recorder.record(name, "passed"), result, settings)
    return (record if lost is None else replace(record, outcome="error")), result, lost


def show_logs(logs: Mapping[str, str]) -> None:
    """Print the end of each log, where a server says what it could not do."""
    for name, text in logs.items():
        lines = text.splitlines()[-LOG_LINES:]
        if lines:
            click.echo(f"the end of the log of {name}:")
            click.echo("".join(f"  {line}\n" for line in lines))


def show(record: Record, result: Result, settings: Settings) -> int:
    """Print a load's record with the run's criteria on it, write the report, return the status.

    A load that was not answered at all, or lost a worker, is no good one, whatever is required.
    """
    from pytest_winserve.report import terminal
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.results import RunResults

    results = RunResults(RunEnvironment(settings))
    results.add(record)
    passed = record.outcome == "passed" and result.answered > 0 and not result.broken
    click.echo(terminal.render(results.report(), width=80, color=sys.stdout.isatty()))
    show_unmet(result, settings)
    written = results.write()
    for line in (*results.hints("--require"), *results.told):
        click.echo(line)
    if not result.answered:
        click.echo(f"winserve: nothing was answered by {result.url}")
    return 0 if passed and written else FAILED


def judged(record: Record, result: Result, settings: Settings) -> Record:
    """The record with this load and the run's criteria on it, and the outcome by them."""
    from pytest_winserve.report.measurements import ResultRecord

    checks = result.checks(*load_criteria(settings), allow_limited=settings.limited == "allow")
    passed = all(check.passed for check in checks) and len(checks) == len(settings.require)
    outcome = "passed" if passed else "failed"
    return replace(record, outcome=outcome, results=(ResultRecord.of(result, checks),))


def load_criteria(settings: Settings) -> list[Criterion]:
    """The run's criteria that can be judged on a load."""
    from pytest_winserve.load.criteria import parse_all

    return [each for each in parse_all(settings.require) if each.subject == "load"]


def show_unmet(result: Result, settings: Settings) -> None:
    """Print the criteria of the run that do not hold on a load, with the evidence as in a test."""
    try:
        result.require(*load_criteria(settings), allow_limited=settings.limited == "allow")
    except CriterionFailed as error:
        click.echo(error)
