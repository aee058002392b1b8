"""What the programs of a site complained of in their logs during a measurement, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 8
"""How many kinds are told in words; results.json has all."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One kind of complaint: how often each log had it (`backend-0`, `nginx`), and the first one in
    its own words. `grave`: an error, and no mere notice such as that of a full queue."""

    kind: str
    counts: Mapping[str, int]
    example: str
    grave: bool = True

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    @property
    def text(self) -> str:
        """`PermissionError (traceback) 12 times (backend-0 3, backend-1 9): [Errno 13] ...`"""
        times = "once" if self.count == 1 else f"{self.count} times"
        logs = ", ".join(f"{name} {n}" for name, n in sorted(self.counts.items()))
        where = next(iter(self.counts)) if len(self.counts) == 1 else logs
        return f"{self.kind} {times} ({where}): {self.example}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "count": self.count,
            "by_log": dict(self.counts),
            "example": self.example,
            "grave": self.grave,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Complaint:
        """The inverse of to_dict."""
        return cls(data["kind"], dict(data["by_log"]), data["example"], data["grave"])


def together(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """Several logs' or measurements' complaints, one for each kind; the gravest and most frequent
    first."""
    found: dict[tuple[str, bool], Complaint] = {}
    for one in complaints:
        known = found.setdefault(
            (one.kind, one.grave), Complaint(one.kind, {}, one.example, one.grave)
        )
        counts = dict(known.counts)
        for name, n in one.counts.items():
            counts[name] = counts.get(name, 0) + n
        found[one.kind, one.grave] = Complaint(one.kind, counts, known.example, one.grave)
    return tuple(sorted(found.values(), key=lambda one: (not one.grave, -one.count, one.kind)))


def shown(complaints: Sequence[Complaint]) -> list[tuple[str, bool]]:
    """The complaints in words, as many as are shown, each with whether it is grave."""
    lines = [(one.text, one.grave) for one in complaints[:SHOWN]]
    left = len(complaints) - SHOWN
    return [*lines, (f"and {left} other kinds", complaints[SHOWN].grave)] if left > 0 else lines


def logged_dict(complaints: Sequence[Complaint] | None) -> dict[str, Any]:
    """What a measurement has of them in results.json; nothing where nobody has looked."""
    return {} if complaints is None else {"logged": [one.to_dict() for one in complaints]}


def logged_of(data: Mapping[str, Any]) -> tuple[Complaint, ...] | None:
    """The inverse of `logged_dict`, in a measurement of results.json."""
    logged = data.get("logged")  # older files do not have it
    return None if logged is None else tuple(map(Complaint.from_dict, logged))
