"""What a probe and a capacity found: verdicts with the exchanges that prove them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pytest_winserve.load.criteria import Check, Criterion, evaluate, require
from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.servers import Concurrency

SAME_MOMENT = 0.05
"""Share of the slow request's time within which two answers count as given at the same moment."""
LONG_SHARE, LONG_WAIT = 0.2, 0.1
"""A fast request is delayed when it waits longer than this share of the slow one's time, and longer
than these seconds."""


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """What is slow in a probe or a capacity: a path of the app's own, or with `hold` any path. Then
    the lab holds the request for these seconds where the server runs the app, and the app runs.
    `otherwise` is said of a path that is not slow: what its caller does without one.
    """

    path: str
    hold: float = 0.0
    otherwise: str = ""

    @property
    def name(self) -> str:
        """As it is called in results: `/report`, or `/ (held 1 s)`."""
        return f"{self.path} (held {self.hold:g} s)" if self.hold else self.path

    @property
    def option(self) -> str:
        """The option that names another one."""
        return "--fast" if self.hold else "--slow"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of a probe. `started` and `ended` are seconds on the performance counter;
    `backend`, `pid` and `thread` are None when the server cannot be made to say who served it."""

    path: str
    started: float
    ended: float
    status: int | None
    error: str | None
    backend: int | None
    pid: int | None
    thread: int | None

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def good(self) -> bool:
        """Whether it was answered with 2xx or 3xx."""
        return self.status is not None and is_good(str(self.status))

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        del data["started"], data["ended"]
        return {**data, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a concurrency probe saw.

    `blocked` has the fast requests that had to wait for a slow one: they were not answered before
    the first slow one, or were delayed. `idle` has the same fast requests, sent just before while
    nothing else was asked; it is empty where that was not measured.
    """

    slow: tuple[Exchange, ...]
    fast: tuple[Exchange, ...]
    blocked: tuple[Exchange, ...]
    idle: tuple[Exchange, ...] = ()

    @classmethod
    def of(
        cls,
        slow: tuple[Exchange, ...],
        fast: tuple[Exchange, ...],
        idle: tuple[Exchange, ...],
    ) -> Verdict:
        """The verdict on what a probe has sent; all of `idle` were answered."""
        longest = max(each.seconds for each in idle)
        waits_too_long = max(LONG_SHARE * min(each.seconds for each in slow), LONG_WAIT)
        moment = _before_the_first(slow)
        blocked = tuple(
            each
            for each in fast
            if not each.good or each.ended > moment or each.seconds - longest > waits_too_long
        )
        return cls(slow, fast, blocked, idle)

    @property
    def non_blocking(self) -> bool:
        """Whether every fast request was answered before any slow one, and none was delayed."""
        return not self.blocked

    @property
    def blocked_fraction(self) -> float:
        """The share of the fast requests that had to wait for a slow one."""
        return len(self.blocked) / len(self.fast)

    @property
    def delayed(self) -> tuple[Exchange, ...]:
        """Those of `blocked` that were answered before the slow ones, but waited too long: more
        than a fifth of the time of the shortest slow one, and more than 100 ms."""
        moment = _before_the_first(self.slow)
        return tuple(each for each in self.blocked if each.good and each.ended <= moment)

    @property
    def delayed_fraction(self) -> float:
        """The share of the fast requests that were delayed."""
        return len(self.delayed) / len(self.fast)

    @property
    def idle_seconds(self) -> tuple[float, ...]:
        return tuple(exchange.seconds for exchange in self.idle)

    @property
    def wait_seconds(self) -> tuple[float, ...]:
        """How much longer each fast request took than the longest idle one; empty where that was
        not measured."""
        if not self.idle:
            return ()
        longest = max(self.idle_seconds)
        return tuple(max(0.0, each.seconds - longest) for each in self.fast)

    @property
    def fast_seconds(self) -> tuple[float, ...]:
        return tuple(exchange.seconds for exchange in self.fast)

    @property
    def slow_seconds(self) -> tuple[float, ...]:
        return tuple(exchange.seconds for exchange in self.slow)

    def metric(self, name: str) -> tuple[float | None, int | None]:
        """`non_blocking` as 1 or 0 with the number of fast requests; else not measured."""
        return (
            (float(self.non_blocking), len(self.fast)) if name == "non_blocking" else (None, None)
        )

    def checks(self, *criteria: Criterion) -> tuple[Check, ...]:
        """What each criterion says about this verdict."""
        return tuple(evaluate(criterion, self) for criterion in criteria)

    def require(self, *criteria: Criterion | str) -> Verdict:
        """This verdict, or CriterionFailed with every criterion that fails and the evidence."""
        __tracebackhide__ = True
        require(self, criteria, evidence=self.summary().splitlines())
        return self

    def summary(self) -> str:
        """A line for the verdict, and a line for each fast request that was blocked."""
        paths = f"{self.fast[0].path} during {self.slow[0].path}"
        if self.idle:
            paths += f"; {max(self.idle_seconds):.3f} s at most when idle"
        if self.non_blocking:
            return f"does not block: all {len(self.fast)} answered, {paths}"
        share = f"{len(self.blocked)} of {len(self.fast)} fast requests"
        lines = [f"BLOCKS: {share} waited ({self.blocked_fraction:.0%}), {paths}"]
        for exchange in self.blocked:
            who = "" if exchange.backend is None else f" (backend {exchange.backend})"
            end = exchange.error or f"answered {exchange.status}"
            lines.append(f"  {end} after {exchange.seconds:.3f} s{who}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        fast = [e.to_dict() | {"blocked": e in self.blocked} for e in self.fast]
        return {
            "non_blocking": self.non_blocking,
            "blocked_fraction": self.blocked_fraction,
            "sleepers": len(self.slow),
            "slow": self.slow[0].path,
            "fast": self.fast[0].path,
            "fast_seconds": list(self.fast_seconds),
            "slow_seconds": list(self.slow_seconds),
            "fast_requests": fast,
            "slow_requests": [e.to_dict() | {"blocked": False} for e in self.slow],
            "delayed_fraction": self.delayed_fraction,
            "idle_seconds": list(self.idle_seconds),
            "wait_seconds": list(self.wait_seconds),
        }


def _before_the_first(slow: tuple[Exchange, ...]) -> float:
    """The moment by which a fast request is answered before the first of the slow ones."""
    first = min(slow, key=lambda answer: answer.ended)
    return first.ended - SAME_MOMENT * first.seconds


def as_declared(value: int, declared: Concurrency, *, at_least: bool) -> bool | None:
    """Whether a capacity is what the server declares; None when that is unknown.

    `at_least`: no more was tried, so that the server may well run what it declares beyond `value`.
    """
    if declared == "unknown":
        return None
    if declared is None:
        return at_least
    return value == declared or (at_least and value < declared)


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many slow requests a site runs at the same time; `at_least` when `limit` was reached.

    `declared` is what its server declares. `per_backend` are the peaks counted in the backends,
    None when it was inferred from when the answers came.
    """

    value: int
    at_least: bool
    limit: int
    declared: Concurrency
    per_backend: tuple[int, ...] | None

    @property
    def as_declared(self) -> bool | None:
        """Whether it is what the server declares; None when that is unknown."""
        return as_declared(self.value, self.declared, at_least=self.at_least)

    def metric(self, name: str) -> tuple[float | None, int | None]:
        """`capacity`; else not measured."""
        return (float(self.value), None) if name == "capacity" else (None, None)

    def checks(self, *criteria: Criterion) -> tuple[Check, ...]:
        """What each criterion says about this capacity."""
        return tuple(evaluate(criterion, self) for criterion in criteria)

    def require(self, *criteria: Criterion | str) -> Capacity:
        """This capacity, or CriterionFailed with every criterion that fails and the evidence."""
        __tracebackhide__ = True
        require(self, criteria, evidence=[self.summary()])
        return self

    def summary(self) -> str:
        """`runs 4 requests at once; 4 declared`"""
        declared = "no bound" if self.declared is None else self.declared
        return f"runs {'at least ' * self.at_least}{self.value} at once; {declared} declared"

    def to_dict(self) -> dict[str, Any]:
        counted = self.per_backend is not None
        return {
            "value": self.value,
            "at_least": self.at_least,
            "limit": self.limit,
            "declared": self.declared,
            "how": "counted in the backends" if counted else "inferred from the answers' times",
            "per_backend": list(self.per_backend) if self.per_backend is not None else None,
        }
