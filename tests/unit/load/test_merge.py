"""Whatever is split among workers, seconds and reports comes out as if one had counted it all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import is_status
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.tally import Tally
from pytest_winserve.load.recording.worker_reports import WorkerReport, result_of
from pytest_winserve.load.results.result import Result

REQUESTS = ["/a", "/b", "/a"]
LABELS = ("GET /a", "GET /b", "GET /a #2")
SECONDS = 4
FIGURES = {"cpu": 0.1, "lag": 0.0, "achieved": 1.0, "late": 0}


@dataclass(frozen=True)
class Event:
    """A request that ended: who sent it, when (s), and how long it took (us)."""

    worker: int
    at: float
    request: int
    backend: str
    outcome: str
    service: int
    late: int

    @property
    def total(self) -> int:
        return self.service + self.late


answers = st.tuples(st.sampled_from(["0", "1", "-"]), st.sampled_from(["200", "302", "404", "502"]))
failures = st.tuples(st.just("-"), st.sampled_from(["timeout", "reset", "refused"]))
events = st.builds(
    lambda kind, **rest: Event(backend=kind[0], outcome=kind[1], **rest),
    st.one_of(answers, failures),
    worker=st.integers(0, 2),
    at=st.floats(0, SECONDS, exclude_max=True),
    request=st.integers(0, len(REQUESTS) - 1),
    service=st.integers(0, 2**33),
    late=st.integers(0, 10**6),
)


def counted(mine: list[Event], reports_at: set[int], *, open_model: bool) -> WorkerReport:
    """What the engine knows of a worker after these events, with reports in between."""
    report = WorkerReport()
    tally = Tally(0.0)
    known = 0

    def say(*, final: bool = False) -> None:
        nonlocal known
        snapshot = tally.snapshot(timeline_from=known, final=final)
        known = tally.closed_seconds
        report.take(json.loads(json.dumps({**snapshot, **FIGURES})))

    for place, event in enumerate(sorted(mine, key=lambda event: event.at)):
        tally.roll(event.at)
        tally.started += 1
        times = tally.times_of(event.request, event.backend, event.outcome)
        times.totals.append(event.total)
        if open_model:
            times.services.append(event.service)
        tally.connects.append(event.late)
        tally.first_bytes.append(event.service)
        tally.sessions.append(event.total)
        if place in reports_at:
            say()
    say(final=True)
    return report


def histogram(values: Iterable[int]) -> Histogram:
    found = Histogram()
    found.record_many(list(values))
    return found


@given(st.lists(events, max_size=40), st.sets(st.integers(0, 40)), st.booleans())
def test_any_split_among_workers_merges_exactly(
    every: list[Event], reports_at: set[int], open_model: bool
) -> None:
    model: dict[str, Any] = {"rate": 10} if open_model else {}
    plan = Plan.make(users=3, duration=SECONDS, requests=REQUESTS, **model)
    reports = [
        counted([e for e in every if e.worker == worker], reports_at, open_model=open_model)
        for worker in range(3)
    ]
    found = result_of("builtin", plan, "http://127.0.0.1:1", reports, 3, 0, None, None)

    def times(some: list[Event]) -> tuple[Histogram, Histogram | None]:
        service = histogram(event.service for event in some) if open_model else None
        return histogram(event.total for event in some), service

    answered = [event for event in every if is_status(event.outcome)]
    assert (found.total, found.service) == times(answered)
    assert found.connect == histogram(event.late for event in every)
    assert found.first_byte == histogram(event.service for event in every)
    assert found.sessions == histogram(event.total for event in every)
    assert {key: (one.total, one.service) for key, one in found.by_outcome.items()} == {
        key: times([event for event in every if event.outcome == key])
        for key in {event.outcome for event in every}
    }
    assert {key: (one.total, one.service) for key, one in found.by_backend.items()} == {
        key: times([event for event in answered if event.backend == key])
        for key in {event.backend for event in answered}
    }
    assert tuple(found.by_request) == LABELS
    for index, share in enumerate(found.by_request.values()):
        mine = [event for event in every if event.request == index]
        assert share.outcomes == Counter(event.outcome for event in mine)
        assert share.errors == sum(event.outcome not in {"200", "302"} for event in mine)
        assert (share.total, share.service) == times([e for e in answered if e.request == index])
    for second in found.timeline:
        mine = [event for event in every if int(event.at) == second.at]
        assert second.outcomes == Counter(event.outcome for event in mine)
        assert second.started == second.finished == len(mine)
        assert second.total == times([e for e in answered if int(e.at) == second.at])[0]
    assert sum(second.finished for second in found.timeline) == len(every)
    assert Histogram.merged(s.total for s in found.timeline if s.total is not None) == found.total

    assert found.sent == len(every)
    assert found.outcomes == Counter(event.outcome for event in every)

    # And nothing of it is lost in a file.
    assert Result.from_dict(json.loads(json.dumps(found.to_dict()))) == found
