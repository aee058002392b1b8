"""The seconds of several workers, put together: every histogram of a result, exactly.

A worker keeps the times of each second apart by request, backend and outcome (`tally.py`), and
histograms add up without loss: so all that a result shows is a sum over some of these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import is_answer
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.shares import BackendShare, OutcomeTimes, RequestShare, Second


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of counts, key by key, in the order of the keys."""
    result: dict[str, int] = {}
    for some in counts:
        for key, n in some.items():
            result[key] = result.get(key, 0) + n
    return dict(sorted(result.items()))


@dataclass(frozen=True, slots=True)
class Merged:
    """What `merged` finds; the fields are those of Result."""

    connect: Histogram
    tls: Histogram
    first_byte: Histogram
    total: Histogram
    service: Histogram | None
    sessions: Histogram
    timeline: tuple[Second, ...]
    by_backend: Mapping[str, BackendShare]
    by_request: Mapping[str, RequestShare]
    by_outcome: Mapping[str, OutcomeTimes]


def merged(timelines: Sequence[Sequence[Mapping[str, Any]]], plan: Plan) -> Merged:
    """The sums over the workers' timelines (`Tally.snapshot`) of one plan.

    Seconds after the last event are left out of the timeline.
    """

    def group() -> _Group:
        return _Group(Histogram() if plan.open_model else None)

    answers, connect, first_byte, sessions = group(), Histogram(), Histogram(), Histogram()
    tls = Histogram()
    backends: defaultdict[str, _Group] = defaultdict(group)
    outcomes: defaultdict[str, _Group] = defaultdict(group)
    requests = [group() for _ in plan.labels]
    seconds: list[Second] = []
    for at in range(max(map(len, timelines), default=0)):
        parts = [timeline[at] for timeline in timelines if at < len(timeline)]
        connects, ends = _sum(parts, "connect"), _sum(parts, "session")
        connect.merge(connects)
        tls.merge(_sum(parts, "tls"))
        sessions.merge(ends)
        first_byte.merge(_sum(parts, "first_byte"))
        all_here = group()
        for index, backend, outcome, *times in (kind for part in parts for kind in part["kinds"]):
            total, service = (Histogram.from_dict(one) for one in times)
            answered = is_answer(outcome)
            outcomes[outcome].add(outcome, total, service, timed=True)
            requests[index].add(outcome, total, service, timed=answered)
            all_here.add(outcome, total, service, timed=answered)
            if answered:
                backends[backend].add(outcome, total, service, timed=True)
                answers.add(outcome, total, service, timed=True)
        seconds.append(
            Second(
                at=at,
                started=sum(part["started"] for part in parts),
                finished=sum(all_here.outcomes.values()),
                outcomes=dict(sorted(all_here.outcomes.items())),
                connect_count=connects.count,
                connect_sum=connects.sum_us / 1e6,
                total_count=all_here.total.count,
                total_sum=all_here.total.sum_us / 1e6,
                session_count=ends.count,
                session_sum=ends.sum_us / 1e6,
                total=all_here.total,
            )
        )
    while seconds and not (seconds[-1].started or seconds[-1].finished):
        seconds.pop()
    shares = {label: one.share() for label, one in zip(plan.labels, requests, strict=True)}
    return Merged(
        connect=connect,
        tls=tls,
        first_byte=first_byte,
        total=answers.total,
        service=answers.service,
        sessions=sessions,
        timeline=tuple(seconds),
        by_backend={
            key: BackendShare(one.total.count, one.total, one.share().errors, one.service)
            for key, one in sorted(backends.items())
        },
        by_request=shares,
        by_outcome={
            key: OutcomeTimes(one.total, one.service) for key, one in sorted(outcomes.items())
        },
    )


def _sum(parts: Iterable[Mapping[str, Any]], name: str) -> Histogram:
    return Histogram.merged(Histogram.from_dict(part[name]) for part in parts if name in part)


class _Group:
    """Some of the requests that ended: how often with which outcome, and the times of those that
    are timed here. `service` only in the open model."""

    def __init__(self, service: Histogram | None) -> None:
        self.outcomes: dict[str, int] = {}
        self.total = Histogram()
        self.service = service

    def add(self, outcome: str, total: Histogram, service: Histogram, *, timed: bool) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + total.count
        if timed:
            self.total.merge(total)
            if self.service is not None:
                self.service.merge(service)

    def share(self) -> RequestShare:
        return RequestShare(dict(sorted(self.outcomes.items())), self.total, self.service)
