"""The ledger: what the client sent, held against what front and backends say they served.

Every side must have seen at least what the client has an answer for, and at most that plus what
the client gave up on after it was sent (it may have been served all the same). What lies outside
of these bounds is unaccounted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_winserve.load.measures.outcomes import is_answer

MAYBE_SERVED = ("reset", "timeout", "closed_early", "bad_response")
"""Outcomes after which the server may have served the request although no answer was counted."""


@dataclass(frozen=True, slots=True)
class FrontCounts:
    """What a front's log holds of one load: a count per status, and per backend's address the
    tries that got a response header and those that did not; `own` has a count per status of the
    answers that no backend gave."""

    statuses: Mapping[int, int] = field(default_factory=dict)
    answered: Mapping[str, int] = field(default_factory=dict)
    unanswered: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[int, int] = field(default_factory=dict)

    @property
    def logged(self) -> int:
        """Requests in the log."""
        return sum(self.statuses.values())


@dataclass(frozen=True, slots=True)
class BackendCounts:
    """What one backend counted of one load: requests that its app started, those that it ended
    with an exception, and the peak of requests in flight."""

    index: int
    address: str
    started: int
    raised: int
    peak_in_flight: int


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the ledger: it saw `seen` requests, and `low` to `high` add up."""

    name: str
    seen: int
    low: int
    high: int

    @property
    def unaccounted(self) -> int:
        """How many requests are missing (too few seen) or unexplained (too many)."""
        return max(self.low - self.seen, self.seen - self.high, 0)

    def line(self) -> str:
        """`backend 0: 12 seen, 10 to 11 expected; 1 unaccounted`"""
        bounds = str(self.low) if self.low == self.high else f"{self.low} to {self.high}"
        verdict = f"; {self.unaccounted} unaccounted" if self.unaccounted else ""
        return f"{self.name}: {self.seen} seen, {bounds} expected{verdict}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The reconciliation of one load. `sides` without the client's is "not measured"."""

    sent: int
    answered: int
    failed: int
    sides: tuple[Side, ...]
    notes: tuple[str, ...] = ()

    @property
    def unaccounted(self) -> int | None:
        """Requests that do not add up, over all sides; None when only the client counted."""
        missing = abs(self.sent - self.answered - self.failed)
        if not self.sides and not missing:
            return None
        return missing + sum(side.unaccounted for side in self.sides)

    def lines(self) -> list[str]:
        """The ledger in words: one line for all sides that agree exactly, else a line each."""
        lines = [f"client: {self.sent} sent = {self.answered} answered + {self.failed} failed"]
        exact = [side for side in self.sides if side.low == side.seen == side.high]
        if len(exact) == len(self.sides):
            lines += [", ".join(f"{side.name} {side.seen}" for side in exact)] if exact else []
        else:
            lines += [side.line() for side in self.sides]
        if not self.sides:
            lines.append("server side: not measured")
        return [*lines, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "unaccounted": self.unaccounted}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        return cls(
            data["sent"],
            data["answered"],
            data["failed"],
            tuple(Side(**side) for side in data["sides"]),
            tuple(data["notes"]),
        )


def reconcile(
    outcomes: Mapping[str, int],
    sent: int,
    own: int,
    front: FrontCounts | None,
    backends: Sequence[BackendCounts],
    notes: Sequence[str] = (),
    unlogged: int = 0,
) -> Ledger:
    """The ledger of a load.

    `outcomes` and `sent` are the client's; `own` is how many of its answers carried a backend's
    mark. `unlogged` is how many answers a front that was killed may have sent and not logged.
    """
    answered = sum(count for outcome, count in outcomes.items() if is_answer(outcome))
    failed = sum(count for outcome, count in outcomes.items() if not is_answer(outcome))
    maybe = sum(outcomes.get(outcome, 0) for outcome in MAYBE_SERVED)
    sides: list[Side] = []
    if front is not None:
        low = max(0, answered - unlogged)
        sides.append(Side("front's log", front.logged, low, answered + maybe))
        for backend in backends:
            tries = front.answered.get(backend.address, 0)
            unsure = front.unanswered.get(backend.address, 0)
            # A try that the dead front never logged may have reached any backend.
            unsure += maybe + unlogged if unlogged else 0
            sides.append(Side(f"backend {backend.index}", backend.started, tries, tries + unsure))
    elif backends:
        ran = sum(backend.started for backend in backends)
        # An answer without the mark is the server's own: its app may have raised, or never run.
        sides.append(Side("backends", ran, own, answered + maybe))
    return Ledger(sent, answered, failed, tuple(sides), tuple(notes))
