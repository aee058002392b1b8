"""What became of the users of journeys: how many passes came to their end, where others broke off,
and what was not as expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_winserve.load.plan import Plan

SHOWN = 6
"""Kinds of unexpected answers that are told of."""


@dataclass(frozen=True, slots=True)
class JourneyShare:
    """One of the plan's journeys. A pass is one walk of one user through it: `begun` of them, of
    which `complete` came to their end and others broke off, counted in `broken` by the label of the
    step. What is left was cut off by the end of the load."""

    name: str
    begun: int
    complete: int
    broken: Mapping[str, int] = field(default_factory=dict)

    @property
    def broken_off(self) -> int:
        return sum(self.broken.values())

    @property
    def cut(self) -> int:
        """Passes that were under way when the load ended."""
        return self.begun - self.complete - self.broken_off

    @property
    def line(self) -> str:
        """`order: 50 passes, 48 complete, 2 broken off: at POST /login 2`"""
        parts = [f"{self.begun} passes, {self.complete} complete"]
        if self.cut:
            parts.append(f"{self.cut} cut off by the end of the load")
        most = sorted(self.broken.items(), key=lambda item: -item[1])
        where = ", ".join(f"at {label} {n}" for label, n in most)
        parts.append(f"{self.broken_off} broken off" + (f": {where}" if where else ""))
        return f"{self.name}: {', '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> JourneyShare:
        return cls(data["name"], data["begun"], data["complete"], dict(data["broken"]))


@dataclass(frozen=True, slots=True)
class Unexpected:
    """Answers to one step (by label) of which the same did not hold: what was `expected`, their
    status, how many, and how the first of them began, without secrets."""

    step: str
    expected: str
    status: str
    count: int
    beginning: str = ""

    @property
    def line(self) -> str:
        """`POST /login: 3 answers with status 400, expected status 302; the first: Bad Request`"""
        answers = "1 answer" if self.count == 1 else f"{self.count} answers"
        first = f"; the first: {self.beginning}" if self.beginning else ""
        return f"{self.step}: {answers} with status {self.status}, expected {self.expected}{first}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Unexpected:
        return cls(**data)


def journey_shares(plan: Plan, snapshots: Sequence[Mapping[str, Any]]) -> tuple[JourneyShare, ...]:
    """What the workers counted (`Passes.snapshot`), journey by journey."""
    labels = plan.labels
    passes = list(_passes(snapshots))
    shares = []
    for place, journey in enumerate(plan.journeys):
        broken: dict[str, int] = {}
        for one in passes:
            for at, label, n in one["broken"]:
                if at == place:
                    broken[labels[label]] = broken.get(labels[label], 0) + n
        shares.append(
            JourneyShare(
                journey.name,
                sum(one["begun"][place] for one in passes),
                sum(one["complete"][place] for one in passes),
                broken,
            )
        )
    return tuple(shares)


def unexpected_kinds(plan: Plan, snapshots: Sequence[Mapping[str, Any]]) -> tuple[Unexpected, ...]:
    """The kinds of unexpected answers that the workers counted, in the order of the steps."""
    labels = plan.labels
    found: dict[tuple[int, str, str], tuple[int, str]] = {}
    for one in _passes(snapshots):
        for label, expected, status, n, text in one["unmet"]:
            count, first = found.get((label, expected, status), (0, text))
            found[label, expected, status] = count + n, first
    return tuple(
        Unexpected(labels[label], expected, status, *counted)
        for (label, expected, status), counted in sorted(found.items())
    )


def _passes(snapshots: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (one["passes"] for one in snapshots if one.get("passes") is not None)


def unexpected_lines(unexpected: Sequence[Unexpected]) -> list[str]:
    """The most frequent kinds in words, and how many more there are."""
    most = sorted(unexpected, key=lambda one: -one.count)
    lines = [one.line for one in most[:SHOWN]]
    return lines + ([f"and {len(most) - SHOWN} kinds more"] if len(most) > SHOWN else [])
