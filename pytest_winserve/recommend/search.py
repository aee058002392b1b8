"""`winserve recommend`: tries every way of serving an app that a host has, and ranks them.

First one run of each candidate, then rounds among those that may still win, one after the other
within a round, until it is decided. Each run is on a site of its own that is started for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_winserve.deployment.this_machine import machine
from pytest_winserve.errors import (
    AppError,
    CriterionFailed,
    MissingComponent,
    UsageError,
    WinserveError,
)
from pytest_winserve.fronts import front_names
from pytest_winserve.hosts import Host, require_host
from pytest_winserve.lab.available import LeftOut, Surveys, expand, settings_that_matter
from pytest_winserve.lab.lab import Lab
from pytest_winserve.lab.observer import Live
from pytest_winserve.lab.several_processes import Findings
from pytest_winserve.lab.site import Site
from pytest_winserve.load.plan import Plan
from pytest_winserve.recommend.ranking import Ranking, rank
from pytest_winserve.recommend.several import Several
from pytest_winserve.recommend.trials import Trials, app_fingerprint
from pytest_winserve.report.record import Record
from pytest_winserve.session.display import Watch
from pytest_winserve.session.environment import RunEnvironment
from pytest_winserve.session.labs import headers_of, lab_of
from pytest_winserve.session.load_arguments import load_arguments
from pytest_winserve.session.recorder import Recorder, attach
from pytest_winserve.session.settings import Settings
from pytest_winserve.session.site_keys import SiteKey, check_slow
from pytest_winserve.topology import Topology

CRITERIA = ("non_blocking", "error_rate < 1%", "unaccounted == 0")
"""What is demanded when nothing is required."""

DURATION, WARMUP = 3.0, 0.5
"""Seconds of each run, and before it."""

MOST_ROUNDS = 30
MARGIN = 0.10
BACKENDS = (1, 4)
WORTH = 4
"""A setting that is worth a try has a server run at least so many requests at once."""
NAME = "winserve recommend"

SAME_TROUBLE = 3
"""When so many different servers could not be measured for one reason, it is the app's."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SearchRules:
    """How it is decided; see `Ranking`. UsageError for values that cannot be."""

    margin: float = MARGIN
    rounds: int = MOST_ROUNDS

    def __post_init__(self) -> None:
        if not 0 < self.margin <= 1:
            raise UsageError(f"margin={self.margin:g}: more than 0% and at most 100% is needed")


def candidates(able: Iterable[str]) -> list[Topology]:
    """What is tried of the servers there are, unless topologies are named: each alone and behind
    each front with one and with four backends; with a setting that lets it run more requests, alone
    and behind four."""
    found = []
    for name in able:
        usual, *others = settings_that_matter(name)
        others = [text for text in others if _runs_more(text, usual)]
        fronts = front_names()
        texts = [usual, *(f"{front}{n}-{usual}" for front in fronts for n in BACKENDS)]
        most = max(BACKENDS)
        for other in others:
            texts += [other, *(f"{front}{most}-{other}" for front in fronts)]
        found += [Topology.parse(text) for text in texts]
    return found


def _runs_more(text: str, usual: str) -> bool:
    """Whether a setting makes a server run more requests than it usually does, and enough."""
    most, known = Topology.parse(text).declared, Topology.parse(usual).declared
    return isinstance(most, int) and isinstance(known, int) and most > known and most >= WORTH


def chosen(
    texts: Sequence[str], host: Host, command: str | None, surveys: Surveys, slow: str | None
) -> list[Topology]:
    """The candidates: those that `texts` name, or all. Raises UsageError."""
    if texts:
        named = [topology for text in texts for topology in expand(text, host, command, surveys)]
        found = list(dict.fromkeys(named))
    else:
        found = candidates(surveys.of(host, command).able)
    for topology in found:
        check_slow(str(topology), slow)
    return found


def key_of(environment: RunEnvironment, criteria: Sequence[str], host: Host) -> dict[str, Any]:
    """What the trials depend on: app, plan, criteria, machine, versions."""
    settings = environment.settings
    with host.open():
        require_host(host)
        there = host.about() or machine()
    return {
        "app": settings.app,
        "code of the app": app_fingerprint(settings.app),
        "command": settings.command,
        "start timeout": settings.start_timeout,
        "start": settings.start,
        "host": host.name,
        "users": settings.users,
        "duration": settings.duration,
        "chdir": settings.chdir,
        "environment": sorted(settings.environment),
        "slow": settings.slow,
        "hold": settings.hold,
        "fast": settings.fast,
        "load": plan_digest(settings),
        "headers": list(headers_of(settings)),
        "host header": settings.host_header,
        "load from": settings.load_from,
        "engine": settings.engine,
        "limited": settings.limited,
        "criteria": list(criteria),
        "system": there["os"],
        "cpu": there["cpu"],
        "cores": there["cores"],
        "python": there["python"],
        "environment of the app": there.get("python_prefix"),
        "pytest-winserve": there["pytest_winserve"],
        "versions": there["versions"],
        "fronts": dict(environment.fronts),
    }


def plan_digest(settings: Settings) -> str:
    """Twelve digits for what a load sends, without the values of secret headers."""
    plan = Plan.make(**load_arguments(settings)).without_secrets().to_dict()
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:12]


@dataclass(slots=True)
class Search:
    """One run of the command: tries candidates and keeps each trial."""

    settings: Settings
    criteria: Sequence[str]
    rules: SearchRules
    trials: Trials
    live: Live
    say: Say
    left_out: list[LeftOut] = field(default_factory=list)
    several: Several = field(default_factory=Several)
    _missing: dict[str, LeftOut] = field(default_factory=dict)

    def run(self, lab: Lab, topologies: Sequence[Topology]) -> Ranking:
        """Try them all, then those that may win until it is decided; the ranking.

        Raises the candidates' own error when all of them fail for one reason that is the app's.
        """
        topologies = self._survivors(lab, topologies)
        for number, topology in enumerate(topologies, 1):
            self._once(lab, topology, 0, f"{number} of {len(topologies)}")
            self._give_up_early()
        for number in range(1, self.rules.rounds):
            names = [each.topology for each in self.ranking().next_round(number)]
            if not names:
                break
            # In turns: what drifts evenly weighs on all alike.
            for place, name in enumerate(names[:: 1 if number % 2 else -1], 1):
                where = f"round {number}, {place} of {len(names)}"
                self._once(lab, Topology.parse(name), number, where)
        return self.ranking()

    def ranking(self) -> Ranking:
        """The ranking by what was tried up to now."""
        records = [each for each in self.trials.records if each.topology not in self.several.lost]
        return rank(records, self.criteria, self.rules.margin, one_process=bool(self.several.apart))

    def _survivors(self, lab: Lab, topologies: Sequence[Topology]) -> list[Topology]:
        """Those in which the app does not lose its users, by a look at one with several processes,
        and at one whose front keeps a user at one of them."""
        lost: set[str] = set()
        for keeps_users in (False, True):
            alike = [
                each
                for each in topologies
                if each.processes > 1 and each.keeps_users is keeps_users
            ]
            found = self._look(lab, alike)
            if found is not None and found.lost:
                lost |= {str(each) for each in alike}
            self.several = self.several.with_(found, alike)
        for line in self.several.lines():
            self.say(line)
        return [each for each in topologies if str(each) not in lost]

    def _look(self, lab: Lab, topologies: Sequence[Topology]) -> Findings | None:
        """What several processes mean for the app, in the first of these that comes up."""
        without: set[str | None] = set()
        for topology in topologies:
            if topology.front in without:
                continue
            self.live.progress(f"several processes: {topology}")
            try:
                with self._serve(lab, topology) as site:
                    return site.several_processes()
            except MissingComponent:
                without |= {topology.front} if topology.front is not None else set()
            except AppError:
                raise
            except WinserveError:
                # Its own trial tells why it does not come up.
                return None
            finally:
                self.live.progress("")
        return None

    def _serve(self, lab: Lab, topology: Topology) -> Site:
        """The site, whose fast path is one that works. Raises what `serve` does, and AppError."""
        settings = self.settings
        site = lab.serve(
            topology, settings.app, command=settings.command, slow=settings.slow,
            fast=settings.fast,
        )  # fmt: skip
        try:
            site.check_fast_path()
        except AppError:
            site.close()
            raise
        return site

    def _once(self, lab: Lab, topology: Topology, number: int, where: str) -> None:
        """One trial, unless it is there already or its front is known to be missing."""
        name = str(topology)
        if self.trials.made(name, number) or topology.front in self._missing:
            return
        self.live.progress(f"{where} {name}")
        try:
            record = self._trial(lab, topology, number)
        except MissingComponent as error:
            self.live.progress("")
            lacks = LeftOut(error.component, "missing", error.reason, error.hint)
            if topology.front is None:
                lacks = LeftOut(name, "missing", error.reason, error.hint)
            else:
                self._missing[topology.front] = lacks
            self.left_out.append(lacks)
            self.say(f"{where} {name}: {error.component} is missing, {error.hint}")
            return
        self.live.progress("")
        self.trials.add(record)
        self.say(f"{where} {name}: {_in_short(record)}")

    def _trial(self, lab: Lab, topology: Topology, number: int) -> Record:
        """The record of one test. Raises MissingComponent when it cannot be made here."""
        settings = self.settings
        key = SiteKey(str(topology), lab.host.name, settings.app, settings.command,
                      settings.slow, settings.fast)  # fmt: skip
        try:
            site = self._serve(lab, topology)
        except (MissingComponent, AppError):
            raise
        except WinserveError as error:
            record = key.not_started(NAME, _short(error))
            kind = type(error).__name__
            return replace(record, round=number, error=kind, trouble=record.events)
        recorder = attach(site, self.live)
        outcome, trouble = "error", []
        try:
            with site:
                outcome = self._measure(site, first=number == 0)
                trouble += [f"died: {death}" for death in site.deaths()]
        except WinserveError as error:
            # A site that was measured, and then did not stop as it should, is not out.
            trouble.append(_short(error))
        except KeyboardInterrupt:
            # Nor is one that was being stopped.
            if outcome != "error":
                self.trials.add(_trial_record(recorder, outcome, number, trouble))
            raise
        return _trial_record(recorder, outcome, number, trouble)

    def _measure(self, site: Site, *, first: bool) -> str:
        """Probe as far as the criteria ask for it, and load; the outcome."""
        wanted = {criterion.subject for criterion in site.require}
        steps: list[Callable[[], object]] = []
        if first and "probe" in wanted:
            steps.append(site.probe)
        if first and "capacity" in wanted:
            steps.append(site.capacity)
        steps.append(lambda: site.load(**load_arguments(self.settings)))
        outcome = "passed"
        for step in steps:
            try:
                step()
            except CriterionFailed:
                outcome = "failed"
        return outcome

    def _give_up_early(self) -> None:
        """Raise when every trial up to now failed to be made, for one and the same reason."""
        records = self.trials.records
        if any(record.outcome != "error" for record in records):
            return
        whys = {"; ".join(record.trouble or ()) for record in records}
        servers = {(record.server or "").partition(":")[0] for record in records}
        if len(whys) == 1 and len(servers) >= SAME_TROUBLE:
            kind = UsageError if records[0].error == UsageError.__name__ else WinserveError
            why = whys.pop().removeprefix("did not start: ")
            raise kind(f"{len(servers)} different servers fail for one reason: {why}")


def _trial_record(recorder: Recorder, outcome: str, number: int, trouble: Sequence[str]) -> Record:
    """The record of a trial on a site, with what went wrong beside the measuring."""
    recorder.events += trouble
    return replace(recorder.record(NAME, outcome), round=number, trouble=tuple(trouble))


def new_lab(settings: Settings, criteria: Sequence[str]) -> Lab:
    """The lab that applies the criteria to every measurement."""
    return lab_of(settings, settings.host[0], require=criteria, live=Watch())


def adjusted(settings: Settings) -> Settings:
    """The settings with this command's own defaults: shorter runs, and a generator that is the
    limit does not put out who was fastest."""
    own: Mapping[str, Any] = {
        "duration": DURATION, "warmup": WARMUP, "limited": "allow", "require": CRITERIA,
    }  # fmt: skip
    return replace(
        settings, **{name: value for name, value in own.items() if name not in settings.given}
    )


def _in_short(record: Record) -> str:
    """One line on a trial."""
    if record.outcome == "error":
        return "; ".join(record.trouble or ()) or "could not be measured"
    result = record.results[-1].result
    rate = f"{result.answered / result.elapsed:.1f} /s" if result.elapsed else "nothing sent"
    missed = [check.criterion for check in record.checks if not check.passed]
    judged = f"misses {'; '.join(missed)}" if missed else "meets the criteria"
    return "; ".join([f"{rate}, {judged}", *(record.trouble or ())])


def _short(error: WinserveError) -> str:
    """What an error says first, and the last line of the log that it ends in."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else f"{lines[0]} ... {lines[-1]}"
