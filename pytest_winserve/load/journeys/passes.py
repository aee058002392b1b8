"""What an engine counts of journeys: passes from their beginning to their end, and what broke."""

from __future__ import annotations

from typing import Any


class Unmet:
    """What did not hold of an answer: what was expected, in words, the status, and the answer's
    beginning without secrets."""

    __slots__ = ("expected", "place", "status", "text")

    def __init__(self, expected: str, status: str, place: str, text: str) -> None:
        self.expected = expected
        self.status = status
        self.place = place
        self.text = text

    @property
    def shown(self) -> str:
        """`to /login; <h1>Sign in`"""
        where = [f"to {self.place}"] if self.place else []
        return "; ".join([*where, *([self.text] if self.text else [])])


class Passes:
    """Of one worker. A pass is one walk of one user through a journey."""

    def __init__(self, journeys: int) -> None:
        self.begun = [0] * journeys
        self.complete = [0] * journeys
        self._broken: dict[tuple[int, int], int] = {}
        self._unmet: dict[tuple[int, str, str], list[Any]] = {}

    def break_off(self, journey: int, label: int, unmet: Unmet | None = None) -> None:
        """A pass ended at a request (its place in the plan's labels), with what did not hold."""
        self._broken[journey, label] = self._broken.get((journey, label), 0) + 1
        if unmet is not None:
            key = label, unmet.expected, unmet.status
            found = self._unmet.setdefault(key, [0, unmet.shown])
            found[0] += 1

    def snapshot(self) -> dict[str, Any]:
        """What `of_snapshots` adds up."""
        return {
            "begun": list(self.begun),
            "complete": list(self.complete),
            "broken": [[*key, n] for key, n in self._broken.items()],
            "unmet": [[*key, *found] for key, found in self._unmet.items()],
        }
