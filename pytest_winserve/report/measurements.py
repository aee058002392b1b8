"""What a test measured, as results.json holds it: probes, capacities, loads, and their criteria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import index
from typing import Any

from pytest_winserve.load.criteria import Check
from pytest_winserve.load.results.complaints import Complaint, logged_dict, logged_of
from pytest_winserve.load.results.result import Result
from pytest_winserve.probe.verdicts import as_declared
from pytest_winserve.servers import Concurrency


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """A criterion on a measurement. `measured` is None where there was nothing to measure;
    `close`: it holds, but only just."""

    criterion: str
    measured: str | None
    passed: bool
    reason: str
    close: bool = False

    @classmethod
    def of(cls, check: Check) -> CheckRecord:
        """The record of a check that was just made."""
        return cls(str(check.criterion), check.shown, check.passed, check.note, check.close)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CheckRecord:
        return cls(
            data["criterion"],
            data["measured"],
            data["passed"],
            data["reason"],
            data.get("close", False),  # older files do not have it
        )


@dataclass(frozen=True, slots=True)
class ExchangeRecord:
    """One request of a probe. `status` is None without an answer; `backend`, `pid` and `thread` are
    None where nobody says who served it."""

    path: str | None
    status: int | None
    error: str | None
    backend: int | None
    pid: int | None
    thread: int | None
    seconds: float
    blocked: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExchangeRecord:
        return cls(
            path=data.get("path"),
            status=data["status"],
            error=data.get("error"),
            backend=data["backend"],
            pid=data["pid"],
            thread=data["thread"],
            seconds=data["seconds"],
            blocked=data["blocked"],
        )


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """What a probe saw: `sleepers` requests for the path `slow`, and those for `fast` meanwhile.

    `idle_seconds` are of the same fast requests while nothing else was asked, and `wait_seconds`
    how much longer each took meanwhile; both are empty where that was not measured.
    """

    non_blocking: bool
    blocked_fraction: float
    sleepers: int
    slow: str
    fast: str
    fast_seconds: tuple[float, ...]
    slow_seconds: tuple[float, ...]
    fast_requests: tuple[ExchangeRecord, ...]
    slow_requests: tuple[ExchangeRecord, ...]
    checks: tuple[CheckRecord, ...]
    delayed_fraction: float = 0.0
    idle_seconds: tuple[float, ...] = ()
    wait_seconds: tuple[float, ...] = ()
    logged: tuple[Complaint, ...] | None = None

    @property
    def fast_count(self) -> int:
        """How many fast requests were sent."""
        return len(self.fast_requests) or len(self.fast_seconds)

    def to_dict(self) -> dict[str, Any]:
        return {
            "non_blocking": self.non_blocking,
            "blocked_fraction": self.blocked_fraction,
            "sleepers": self.sleepers,
            "slow": self.slow,
            "fast": self.fast,
            "fast_seconds": list(self.fast_seconds),
            "slow_seconds": list(self.slow_seconds),
            "fast_requests": [request.to_dict() for request in self.fast_requests],
            "slow_requests": [request.to_dict() for request in self.slow_requests],
            **self._waits(),
            "checks": _dicts(self.checks),
        } | logged_dict(self.logged)

    def _waits(self) -> dict[str, Any]:
        """What older files do not have; one that is read is written as it was."""
        if not self.idle_seconds:
            return {}
        return {
            "delayed_fraction": self.delayed_fraction,
            "idle_seconds": list(self.idle_seconds),
            "wait_seconds": list(self.wait_seconds),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VerdictRecord:
        return cls(
            non_blocking=data["non_blocking"],
            blocked_fraction=float(data["blocked_fraction"]),
            sleepers=index(data["sleepers"]),
            slow=data["slow"],
            fast=data["fast"],
            fast_seconds=tuple(data["fast_seconds"]),
            slow_seconds=tuple(data["slow_seconds"]),
            fast_requests=tuple(map(ExchangeRecord.from_dict, data["fast_requests"])),
            slow_requests=tuple(map(ExchangeRecord.from_dict, data["slow_requests"])),
            checks=_checks(data),
            # See _waits.
            delayed_fraction=float(data.get("delayed_fraction", 0.0)),
            idle_seconds=tuple(data.get("idle_seconds", ())),
            wait_seconds=tuple(data.get("wait_seconds", ())),
            logged=logged_of(data),
        )


@dataclass(frozen=True, slots=True)
class CapacityRecord:
    """How many requests ran at the same time; `at_least` when `limit`, the most that were sent, was
    reached. `how` says how that was found."""

    value: int
    at_least: bool
    limit: int
    declared: Concurrency
    how: str
    per_backend: tuple[int, ...] | None
    checks: tuple[CheckRecord, ...]
    logged: tuple[Complaint, ...] | None = None

    @property
    def as_declared(self) -> bool | None:
        """Whether it is what the server declares; None when that is unknown."""
        return as_declared(self.value, self.declared, at_least=self.at_least)

    @property
    def shown(self) -> str:
        """`4`, or `>= 64`."""
        return f">= {self.value}" if self.at_least else str(self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "at_least": self.at_least,
            "limit": self.limit,
            "declared": self.declared,
            "how": self.how,
            "per_backend": None if self.per_backend is None else list(self.per_backend),
            "checks": _dicts(self.checks),
        } | logged_dict(self.logged)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CapacityRecord:
        shares = data["per_backend"]
        return cls(
            value=index(data["value"]),
            at_least=data["at_least"],
            limit=index(data["limit"]),
            declared=data["declared"],
            how=data["how"],
            per_backend=None if shares is None else tuple(shares),
            checks=_checks(data),
            logged=logged_of(data),
        )


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """What came back from one load. `judged`: the test itself required something of it."""

    result: Result
    checks: tuple[CheckRecord, ...] = ()
    judged: bool = False

    @classmethod
    def of(cls, result: Result, checks: Iterable[Check]) -> ResultRecord:
        """The record of a load that has just ended."""
        return cls(result, tuple(map(CheckRecord.of, checks)))

    def to_dict(self) -> dict[str, Any]:
        made = self.result.to_dict() | {"checks": _dicts(self.checks)}
        return made | ({"judged": True} if self.judged else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ResultRecord:
        return cls(Result.from_dict(data), _checks(data), data.get("judged", False))


Measurement = VerdictRecord | CapacityRecord | ResultRecord


def checks_of(measurements: Iterable[Measurement]) -> tuple[CheckRecord, ...]:
    """Every criterion that was evaluated on these, in their order."""
    return tuple(check for measurement in measurements for check in measurement.checks)


def worst(capacities: Sequence[CapacityRecord]) -> CapacityRecord | None:
    """The smallest of several; of equals the one that is not only a lower bound."""
    return min(capacities, key=lambda one: (one.value, one.at_least), default=None)


def _dicts(checks: Iterable[CheckRecord]) -> list[dict[str, Any]]:
    return [check.to_dict() for check in checks]


def _checks(data: Mapping[str, Any]) -> tuple[CheckRecord, ...]:
    return tuple(map(CheckRecord.from_dict, data["checks"]))
