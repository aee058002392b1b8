"""The parts of a result: by backend, kind of request, outcome and second; and the generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import is_good

HOST_CPU_LIMIT = 0.95


def dict_of(histogram: Histogram | None) -> dict[str, Any] | None:
    return None if histogram is None else histogram.to_dict()


def histogram_of(data: Mapping[str, Any] | None) -> Histogram | None:
    return None if data is None else Histogram.from_dict(data)


@dataclass(frozen=True, slots=True)
class BackendShare:
    """What one backend answered: how often, times as in Result, and how many answers were no 2xx or
    3xx (None where nobody told)."""

    answers: int
    total: Histogram
    errors: int | None = None
    service: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "total": self.total.to_dict(),
            "errors": self.errors,
            "service": dict_of(self.service),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BackendShare:
        total, service = Histogram.from_dict(data["total"]), histogram_of(data.get("service"))
        return cls(data["answers"], total, data.get("errors"), service)


@dataclass(frozen=True, slots=True)
class RequestShare:
    """What became of one of the plan's requests: a count per outcome, and the times of its complete
    answers as in Result."""

    outcomes: Mapping[str, int]
    total: Histogram
    service: Histogram | None = None

    @property
    def ended(self) -> int:
        """Requests of this kind with an outcome: all that were sent, unless a worker was lost."""
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """Those that were not answered with 2xx or 3xx."""
        return sum(n for outcome, n in self.outcomes.items() if not is_good(outcome))

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "total": self.total.to_dict(),
            "service": dict_of(self.service),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RequestShare:
        total, service = Histogram.from_dict(data["total"]), histogram_of(data["service"])
        return cls(dict(data["outcomes"]), total, service)


@dataclass(frozen=True, slots=True)
class OutcomeTimes:
    """How long the requests took that ended with one outcome, answered or not; as in Result."""

    total: Histogram
    service: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"total": self.total.to_dict(), "service": dict_of(self.service)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OutcomeTimes:
        return cls(Histogram.from_dict(data["total"]), histogram_of(data["service"]))


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second of a load; `at` counts from 0, sums are in seconds.

    `started` counts requests begun, `finished` and `outcomes` those that ended, in this second.
    `total` has the times of its complete answers; None where only count and sum are known.
    """

    at: int
    started: int = 0
    finished: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    connect_count: int = 0
    connect_sum: float = 0.0
    total_count: int = 0
    total_sum: float = 0.0
    session_count: int = 0
    session_sum: float = 0.0
    total: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "outcomes": dict(self.outcomes),
            "total": dict_of(self.total),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Second:
        return cls(**{**data, "total": histogram_of(data.get("total"))})


@dataclass(frozen=True, slots=True)
class Generator:
    """The engine about itself.

    `workers` started, `lost` of them before their end; `cpu` is the largest share of one core that
    a worker used in any second; `lag` the 99th percentile in seconds of how late the event loop
    was (in the open model also of how late requests were sent), of the worst worker, None where
    the engine does not measure it; `limited_by` "none" or what made the generator the limit instead
    of the server. `host_cpu` is the share of all processors of the generator's machine that was in
    use, by whatever ran there; None where the engine does not measure it. `late` counts requests of
    the open model that were due more than 10 ms before they were begun or dropped; None in the
    closed model, where none is due, and where the engine does not measure it. `syn_retried`
    counts connects that took as long as one whose SYN was sent again, because it was dropped; None
    where it is not known when the generator's machine does that.
    """

    workers: int
    lost: int
    cpu: float
    lag: float | None
    limited_by: str
    host_cpu: float | None = None
    late: int | None = None
    syn_retried: int | None = None

    @property
    def shared(self) -> str:
        """That the machine had nothing left, so that the numbers are of all that ran on it; empty
        when it had."""
        if self.host_cpu is None or self.host_cpu <= HOST_CPU_LIMIT:
            return ""
        return (
            f"the generator's machine was busy ({self.host_cpu:.0%} of its processors): "
            "the numbers are of all that ran on it"
        )

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Generator:
        return cls(**data)
