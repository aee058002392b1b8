"""What the workers of an engine counted (`Tally.snapshot`), merged into one result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_winserve.load.histogram import Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.result import BackendShare, Generator, Result, Second

CPU_LIMIT = 0.9
LAG_LIMIT = 0.010
ACHIEVED_LIMIT = 0.95


class Report:
    """The last snapshot of a worker, with its timeline put together."""

    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None
        self.timeline: list[dict[str, Any]] = []

    def take(self, message: dict[str, Any]) -> None:
        self.timeline[message["timeline_from"] :] = message["timeline"]
        self.last = message


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums over all mappings, by name."""
    result: dict[str, int] = {}
    for some in counts:
        for key, n in some.items():
            result[key] = result.get(key, 0) + n
    return dict(sorted(result.items()))


def _merged(snapshots: list[dict[str, Any]], name: str) -> Histogram:
    return Histogram.merged(Histogram.from_dict(snapshot[name]) for snapshot in snapshots)


def merge(
    engine: str, plan: Plan, url: str, reports: Sequence[Report], workers: int, lost: int
) -> Result:
    """The result of a load by `workers`, of which `lost` did not report to their end.

    At least one of the reports has a snapshot.
    """
    snapshots = [report.last for report in reports if report.last is not None]
    backends: dict[str, Histogram] = {}
    for snapshot in snapshots:
        for key, data in snapshot["backends"].items():
            backends.setdefault(key, Histogram()).merge(Histogram.from_dict(data))
    firsts = [s["first"] for s in snapshots if s["first"] is not None]
    elapsed = max(s["last"] for s in snapshots) - min(firsts) if firsts else 0.0
    outcomes = added(snapshot["outcomes"] for snapshot in snapshots)
    errors = added(snapshot["backend_errors"] for snapshot in snapshots)
    return Result(
        plan=plan,
        engine=engine,
        url=url,
        sent=sum(snapshot["sent"] for snapshot in snapshots),
        outcomes=outcomes,
        dropped=sum(snapshot["dropped"] for snapshot in snapshots),
        elapsed=elapsed,
        connect=_merged(snapshots, "connect"),
        first_byte=_merged(snapshots, "first_byte"),
        total=Histogram.merged(backends.values()),
        sessions=_merged(snapshots, "sessions"),
        timeline=_timeline([report.timeline for report in reports]),
        by_backend={
            key: BackendShare(h.count, h, errors.get(key, 0)) for key, h in sorted(backends.items())
        },
        generator=Generator(
            workers=workers,
            lost=lost,
            cpu=max(s["cpu"] for s in snapshots),
            lag=max(s["lag"] for s in snapshots),
            limited_by=_limited_by(snapshots),
        ),
    )


def _limited_by(snapshots: list[dict[str, Any]]) -> str:
    limits = added(snapshot["client_limits"] for snapshot in snapshots)
    if any(limits.values()):
        return max(limits, key=lambda name: limits[name])
    if any(s["cpu"] > CPU_LIMIT and s["lag"] > LAG_LIMIT for s in snapshots):
        return "generator-cpu"
    behind = any(snapshot["achieved"] < ACHIEVED_LIMIT for snapshot in snapshots)
    if behind and not any(snapshot["dropped"] for snapshot in snapshots):
        return "generator-schedule"
    return "none"


def _timeline(timelines: list[list[dict[str, Any]]]) -> tuple[Second, ...]:
    """Seconds summed over workers; empty ones after the last event are left out."""
    seconds = []
    for at in range(max((len(timeline) for timeline in timelines), default=0)):
        parts = [timeline[at] for timeline in timelines if at < len(timeline)]
        outcomes = added(part["outcomes"] for part in parts)
        sums = {
            name: [sum(part[name][i] for part in parts) for i in (0, 1)]
            for name in ("connect", "total", "session")
        }
        seconds.append(
            Second(
                at=at,
                started=sum(part["started"] for part in parts),
                finished=sum(outcomes.values()),
                outcomes=outcomes,
                connect_count=sums["connect"][0],
                connect_sum=sums["connect"][1] / 1e6,
                total_count=sums["total"][0],
                total_sum=sums["total"][1] / 1e6,
                session_count=sums["session"][0],
                session_sum=sums["session"][1] / 1e6,
            )
        )
    while seconds and not (seconds[-1].started or seconds[-1].finished):
        seconds.pop()
    return tuple(seconds)
