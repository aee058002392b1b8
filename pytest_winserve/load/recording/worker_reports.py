"""What the workers of an engine reported (`Tally.snapshot`), as one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_winserve.load.measures import listen_queues
from pytest_winserve.load.measures.outcomes import is_answer
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording import generator_limits
from pytest_winserve.load.recording.merge import added, merged
from pytest_winserve.load.results.answers import AnswerKind, Answers
from pytest_winserve.load.results.journeys import journey_shares, unexpected_kinds
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Generator


def answer_kinds(snapshots: Sequence[Mapping[str, Any]], plan: Plan) -> tuple[AnswerKind, ...]:
    """The kinds of answers that the workers counted, the most frequent first."""
    labels = plan.labels
    counts: dict[tuple[str, str, str, int | None], int] = {}
    for snapshot in snapshots:
        for request, outcome, location, size, n in snapshot["answers"]:
            if is_answer(outcome):
                key = labels[request], outcome, location, size
                counts[key] = counts.get(key, 0) + n
    kinds = [AnswerKind(*key, n) for key, n in counts.items()]
    return tuple(sorted(kinds, key=lambda kind: -kind.count))


class WorkerReport:
    """The last snapshot of a worker, with its timeline put together."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.timeline: list[dict[str, Any]] = []

    def take(self, message: dict[str, Any]) -> None:
        self.timeline[message["timeline_from"] :] = message["timeline"]
        self.last = message


def result_of(
    engine: str,
    plan: Plan,
    url: str,
    reports: Sequence[WorkerReport],
    workers: int,
    lost: int,
    host_cpu: float | None,
    syn_retries: tuple[float, ...] | None,
) -> Result:
    """The result of a load by `workers`, of which `lost` did not report to their end.

    At least one of the reports has a snapshot. `host_cpu` and `syn_retries` are of the workers'
    machine.
    """
    snapshots = [report.last for report in reports if report.last is not None]
    times = merged([report.timeline for report in reports], plan)
    firsts = [s["first"] for s in snapshots if s["first"] is not None]
    elapsed = max(s["last"] for s in snapshots) - min(firsts) if firsts else 0.0
    return Result(
        plan=plan,
        engine=engine,
        url=url,
        sent=sum(snapshot["sent"] for snapshot in snapshots),
        outcomes=added(snapshot["outcomes"] for snapshot in snapshots),
        dropped=sum(snapshot["dropped"] for snapshot in snapshots),
        elapsed=elapsed,
        connect=times.connect,
        tls=times.tls if url.startswith("https:") else None,
        first_byte=times.first_byte,
        total=times.total,
        service=times.service,
        sessions=times.sessions,
        timeline=times.timeline,
        by_backend=times.by_backend,
        by_request=times.by_request,
        by_outcome=times.by_outcome,
        answers=Answers(answer_kinds(snapshots, plan)),
        journeys=journey_shares(plan, snapshots),
        unexpected=unexpected_kinds(plan, snapshots),
        generator=Generator(
            workers=workers,
            lost=lost,
            cpu=max(s["cpu"] for s in snapshots),
            lag=max(s["lag"] for s in snapshots),
            limited_by=generator_limits.limited_by(snapshots, elapsed, open_model=plan.open_model),
            host_cpu=host_cpu,
            late=sum(s["late"] for s in snapshots) if plan.open_model else None,
            syn_retried=None
            if syn_retries is None
            else listen_queues.retried(times.connect, syn_retries),
        ),
    )
