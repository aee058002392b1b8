"""What a worker counts: cheap to add to, and sent to the engine as JSON once a second."""

from __future__ import annotations

from typing import Any

from pytest_winserve.load.histogram import Histogram


class Tally:
    """Counters of one worker. The hot path only appends; `fold` does the rest now and then.

    Times are whole microseconds. `roll(now)` must be called before anything is added once `now`
    has reached `second_end`, so that every event lies in its own second.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self.second_end = began + 1.0
        self.first: float | None = None
        self.last = began
        self.sent = 0
        self.dropped = 0
        self.client_limits = {"client-ports": 0, "client-fds": 0}
        # Of the second under way, appended to by the hot path. The lists stay the same objects.
        self.started = 0
        self.outcomes: dict[str, int] = {}
        self.connects: list[int] = []
        self.first_bytes: list[int] = []
        self.totals: dict[tuple[str, bool], list[int]] = {}
        self.sessions: list[int] = []
        self._open = _Second()
        self._seconds: list[dict[str, Any]] = []
        self._all_outcomes: dict[str, int] = {}
        self._connect = Histogram()
        self._first_byte = Histogram()
        self._backends: dict[str, Histogram] = {}
        self._backend_errors: dict[str, int] = {}
        self._sessions = Histogram()

    def totals_of(self, backend: str, *, error: bool) -> list[int]:
        """The list that collects the total times of one backend's answers, good ones or errors."""
        return self.totals.setdefault((backend, error), [])

    def fold(self) -> None:
        """Move what the hot path appended into the histograms and the second under way."""
        now = self._open
        self.sent += self.started
        now.started += self.started
        self.started = 0
        for outcome, n in self.outcomes.items():
            now.outcomes[outcome] = now.outcomes.get(outcome, 0) + n
            self._all_outcomes[outcome] = self._all_outcomes.get(outcome, 0) + n
        self.outcomes.clear()
        for (backend, error), times in self.totals.items():
            if times:
                if error:
                    errors = self._backend_errors.get(backend, 0)
                    self._backend_errors[backend] = errors + len(times)
                self._backends.setdefault(backend, Histogram()).record_many(times)
                now.add("total", times)
                times.clear()
        for name, histogram, times in (
            ("connect", self._connect, self.connects),
            ("", self._first_byte, self.first_bytes),
            ("session", self._sessions, self.sessions),
        ):
            histogram.record_many(times)
            if name:
                now.add(name, times)
            times.clear()

    def roll(self, now: float) -> None:
        """Close every second that has ended by `now`."""
        self.fold()
        while now >= self.second_end:
            self._seconds.append(self._open.to_dict())
            self._open = _Second()
            # From the start, not by adding ones: thousands of additions would drift.
            self.second_end = self.began + len(self._seconds) + 1.0

    def snapshot(self, *, timeline_from: int, final: bool) -> dict[str, Any]:
        """Everything so far; of the timeline the seconds from `timeline_from` on.

        The second under way is the last one; the next snapshot has it again, complete.
        """
        self.fold()
        return {
            "type": "final" if final else "progress",
            "sent": self.sent,
            "dropped": self.dropped,
            "outcomes": dict(self._all_outcomes),
            "client_limits": dict(self.client_limits),
            "first": None if self.first is None else self.first - self.began,
            "last": self.last - self.began,
            "connect": self._connect.to_dict(),
            "first_byte": self._first_byte.to_dict(),
            "sessions": self._sessions.to_dict(),
            "backend_errors": dict(self._backend_errors),
            "backends": {key: h.to_dict() for key, h in self._backends.items()},
            "timeline_from": timeline_from,
            "timeline": [*self._seconds[timeline_from:], self._open.to_dict()],
        }

    @property
    def closed_seconds(self) -> int:
        return len(self._seconds)


class _Second:
    """Counts of one second, in the engine's names."""

    def __init__(self) -> None:
        self.started = 0
        self.outcomes: dict[str, int] = {}
        self.sums = {"connect": [0, 0], "total": [0, 0], "session": [0, 0]}

    def add(self, name: str, times: list[int]) -> None:
        pair = self.sums[name]
        pair[0] += len(times)
        pair[1] += sum(times)

    def to_dict(self) -> dict[str, Any]:
        return {"started": self.started, "outcomes": dict(self.outcomes), **self.sums}
