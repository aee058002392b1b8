"""What a worker counts: cheap to add to, and sent to the engine as JSON once a second."""

from __future__ import annotations

from typing import Any, NamedTuple

from pytest_winserve.load.journeys.passes import Passes
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.results.answers import OTHERS


class RequestKind(NamedTuple):
    """What the times of requests are kept apart by: their place in the plan's requests, the
    backend that answered, and the outcome."""

    request: int
    backend: str
    outcome: str


class AnswerKind(NamedTuple):
    """What answers are counted by beside their times: their request, status, where they redirect
    to, and size; None where it is not told."""

    request: int
    outcome: str
    location: str
    size: int | None


KINDS_OF_ANSWERS = 12
"""How many kinds of answers to one request with one status are counted apart."""


class Times:
    """Of the requests of one kind that ended lately, in whole microseconds.

    `totals` has each of them, from when it was wanted; `services` from when it was begun. These
    differ in the open model only, and only there they are recorded.
    """

    __slots__ = ("services", "totals")

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.services: list[int] = []


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
        self.passes: Passes | None = None
        """Of journeys, where the load has any."""
        # Of the second under way, appended to by the hot path. The lists stay the same objects.
        self.started = 0
        self.connects: list[int] = []
        self.handshakes: list[int] = []
        self.first_bytes: list[int] = []
        self.sessions: list[int] = []
        self._times: dict[tuple[RequestKind, AnswerKind], Times] = {}
        self._answers: dict[AnswerKind, int] = {}
        self._alike: dict[tuple[int, str], int] = {}
        self._open = _Second()
        self._seconds: list[dict[str, Any]] = []
        self._outcomes: dict[str, int] = {}

    def times_of(
        self,
        request: int,
        backend: str,
        outcome: str,
        location: str = "",
        size: int | None = None,
    ) -> Times:
        """What collects the times of such requests; a time in `totals` is what counts one."""
        answer = AnswerKind(request, outcome, location, size)
        if answer not in self._answers:
            alike = self._alike.get((request, outcome), 0)
            if alike >= KINDS_OF_ANSWERS:
                answer = AnswerKind(request, outcome, OTHERS if location else "", None)
            self._alike[request, outcome] = alike + 1
            self._answers.setdefault(answer, 0)
        key = RequestKind(request, backend, outcome), answer
        found = self._times.get(key)
        if found is None:
            found = self._times[key] = Times()
        return found

    def fold(self) -> None:
        """Move what the hot path appended into the second under way."""
        now = self._open
        self.sent += self.started
        now.started += self.started
        self.started = 0
        for (kind, answer), times in self._times.items():
            n = len(times.totals)
            if n:
                self._answers[answer] += n
                self._outcomes[kind.outcome] = self._outcomes.get(kind.outcome, 0) + n
                now.add(kind, times)
                times.totals.clear()
                times.services.clear()
        for histogram, values in (
            (now.connect, self.connects),
            (now.tls, self.handshakes),
            (now.first_byte, self.first_bytes),
            (now.session, self.sessions),
        ):
            histogram.record_many(values)
            values.clear()

    def roll(self, now: float) -> None:
        """Close every second that has ended by `now`."""
        self.fold()
        while now >= self.second_end:
            self._seconds.append(self._open.to_dict())
            self._open = _Second()
            # From the start, not by adding ones: thousands of additions would drift.
            self.second_end = self.began + len(self._seconds) + 1.0

    def snapshot(self, *, timeline_from: int, final: bool) -> dict[str, Any]:
        """The counts so far; of the seconds, which have all the times, those from `timeline_from`.

        The second under way is the last one; the next snapshot has it again, complete.
        """
        self.fold()
        return {
            "type": "final" if final else "progress",
            "sent": self.sent,
            "dropped": self.dropped,
            "outcomes": dict(self._outcomes),
            "answers": [[*kind, n] for kind, n in self._answers.items() if n],
            "client_limits": dict(self.client_limits),
            "passes": None if self.passes is None else self.passes.snapshot(),
            "first": None if self.first is None else self.first - self.began,
            "last": self.last - self.began,
            "timeline_from": timeline_from,
            "timeline": [*self._seconds[timeline_from:], self._open.to_dict()],
        }

    @property
    def closed_seconds(self) -> int:
        return len(self._seconds)


class _Second:
    """What happened in one second, in the engine's names."""

    def __init__(self) -> None:
        self.started = 0
        self.connect = Histogram()
        self.tls = Histogram()
        self.first_byte = Histogram()
        self.session = Histogram()
        self.kinds: dict[RequestKind, tuple[Histogram, Histogram]] = {}

    def add(self, kind: RequestKind, times: Times) -> None:
        total, service = self.kinds.setdefault(kind, (Histogram(), Histogram()))
        total.record_many(times.totals)
        service.record_many(times.services)

    def to_dict(self) -> dict[str, Any]:
        return {
            "started": self.started,
            "connect": self.connect.to_dict(),
            "tls": self.tls.to_dict(),
            "first_byte": self.first_byte.to_dict(),
            "session": self.session.to_dict(),
            "kinds": [
                [*kind, total.to_dict(), service.to_dict()]
                for kind, (total, service) in self.kinds.items()
            ],
        }
