"""What a run of tsung counted of journeys, step by step; the names are those of `journeys`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engines.tsung.journeys import expectations
from pytest_winserve.load.engines.tsung.log import TsungLog
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import UNEXPECTED
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.journeys import JourneyShare, Unexpected
from pytest_winserve.load.results.shares import RequestShare

_INEXACT = "winserve_inexact_"
_STAYED = "winserve_cookies_stayed"
_UNMET = re.compile(r"winserve_unmet_(\d+)_(\d+)_(\d+)")
_NAMES = {"closed": "closed_early", UNEXPECTED: UNEXPECTED}


@dataclass(frozen=True, slots=True)
class Walked:
    """The parts of a Result that are of journeys; empty for a plan without."""

    by_request: Mapping[str, RequestShare] = field(default_factory=dict)
    journeys: tuple[JourneyShare, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()


def passes_of(plan: Plan, log: TsungLog, outcomes: Mapping[str, int]) -> Walked:
    """What is in the log of a whole run, whose requests ended with these outcomes. LoadError when a
    cookie was one that tsung does not treat as the other engines do."""
    if not plan.journeys:
        return Walked()
    _check_cookies(log)
    sent = [log.total(f"winserve_at_{at}_sent") for at in range(len(plan.labels))]
    ended = [_ended(log, at) for at in range(len(plan.labels))]
    # A user that tsung ended counts nothing of its request: that is told by what is left over.
    lost = [wanted - sum(found.values()) for wanted, found in zip(sent, ended, strict=True)]
    _add_lost(ended, lost, outcomes)
    shares = {
        label: RequestShare(dict(sorted(found.items())), Histogram())
        for label, found in zip(plan.labels, ended, strict=True)
        if found
    }
    return Walked(shares, _journeys(plan, log, lost), _unexpected(plan, log))


def _check_cookies(log: TsungLog) -> None:
    names = sorted(
        name.strip("'").removeprefix(_INEXACT)
        for name in log.names()
        if name.strip("'").startswith(_INEXACT)
    )
    if log.total(_STAYED):
        raise LoadError(
            "this tsung keeps cookies in a way that is not known here: take the engine builtin or "
            "locust"
        )
    if names:
        raise LoadError(
            f"the site sets the cookie {names[0]} with a Domain, a Path, an Expires or a Max-Age "
            "that the engine tsung does not treat as a browser does: take the engine builtin or "
            "locust"
        )


def _ended(log: TsungLog, at: int) -> dict[str, int]:
    prefix = f"winserve_at_{at}_"
    found = {}
    for name in log.names():
        kind = name.removeprefix(prefix)
        if kind != name and kind != "sent":
            found[_NAMES.get(kind, kind)] = log.total(name)
    return found


def _add_lost(ended: list[dict[str, int]], lost: list[int], outcomes: Mapping[str, int]) -> None:
    """Give the outcomes that no step counted to the step whose requests are missing, where it is
    only one; of several it is not known whose they are."""
    steps = [at for at, missing in enumerate(lost) if missing]
    if len(steps) != 1:
        return
    found = ended[steps[0]]
    for outcome, n in outcomes.items():
        rest = n - sum(each.get(outcome, 0) for each in ended)
        if rest:
            found[outcome] = found.get(outcome, 0) + rest


def _journeys(plan: Plan, log: TsungLog, lost: list[int]) -> tuple[JourneyShare, ...]:
    made = []
    at = 0
    for place, journey in enumerate(plan.journeys):
        broken = {}
        for _ in journey.steps:
            counted = (f"winserve_at_{at}_{kind}" for kind in _NAMES)
            n = lost[at] + sum(log.total(name) for name in counted)
            if n:
                broken[plan.labels[at]] = n
            at += 1
        begun, complete = (log.total(f"winserve_pass_{place}_{w}") for w in ("begun", "complete"))
        made.append(JourneyShare(journey.name, begun, complete, broken))
    return tuple(made)


def _unexpected(plan: Plan, log: TsungLog) -> tuple[Unexpected, ...]:
    steps = plan.steps
    found = []
    for name in log.names():
        if match := _UNMET.fullmatch(name):
            at, expected, status = map(int, match.groups())
            found.append((at, expected, status, log.total(name)))
    return tuple(
        Unexpected(plan.labels[at], expectations(steps[at])[expected], str(status), n)
        for at, expected, status, n in sorted(found)
    )
