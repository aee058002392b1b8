"""One load of a worker from its start until every request has its outcome, whatever its model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

from pytest_winserve.load.engines.builtin.answers import KnownRoute
from pytest_winserve.load.engines.builtin.connection import Conn, User
from pytest_winserve.load.engines.builtin.event_loops import Loop
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import NO_BACKEND
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.tally import Tally
from pytest_winserve.load.recording.wire import mixed

TICK = 0.05
"""Seconds between two looks at timeouts, levels and lag."""
BACKOFF_FIRST, BACKOFF_MOST = 0.01, 1.0
"""Pause of a user after a request without an HTTP answer, doubling until an answer comes."""
AT_ONCE = 500
"""Users that come in, or arrivals, one after the other, before answers are looked at again."""


class Run:
    """All users of this worker, through the warm-up and the counted load.

    The model, closed or open, is a class below this one: it says when a user sends.
    """

    steady = False
    """Whether every user goes on at once after an answer; its connection then sees to it."""

    def __init__(self, plan: Plan, job: dict[str, Any], loop: Loop) -> None:
        self.plan = plan
        self.job = job
        self.loop = loop
        host, port = job["address"]
        self.address = host, port
        self.new_conn: type[Conn] = Conn
        self.nonce: str | None = job["nonce"]
        self.keepalive = plan.keepalive
        self.timeout = plan.timeout
        self.users: list[User] = []
        self.lingering: dict[Conn, float] = {}
        self.lag = Histogram()
        self.lags: list[int] = []
        self.cpu = 0.0
        self.achieved = 1.0
        self.late = 0

    def phase(self, *, counted: bool, report: Callable[[], None] | None = None) -> None:
        """One load, or one warm-up."""
        plan = self.plan
        self.done = False
        self.report = report
        self.counted = counted
        tag = self.job["tag"] if counted else self.job["warmup_tag"]
        self.prepare(tag)
        self.lag = Histogram()
        self.cpu = 0.0
        self.next_deadline = 0.0
        self.remaining = plan.count if counted and plan.count is not None else -1
        seconds = plan.seconds if counted else plan.warmup
        began = perf_counter()
        self.tally = Tally(began)
        self.began = began
        self.stop_at = math.inf if seconds is None else began + seconds
        self.ticks = 0
        self.next_report = began + 1.0
        self.cpu_mark = (began, process_time())
        self.timer = self.loop.call_later(TICK, self._tick)
        self.start()
        if not self.done:
            self.loop.run_forever()

    def prepare(self, tag: str | None) -> None:
        """Make the requests of a phase ready, which carry this tag."""
        routes = [
            KnownRoute(index, request, self.job["host"], tag, self.plan.keepalive)
            for index, request in enumerate(self.plan.requests)
        ]
        self.route = routes[0]
        self.mix = None if len(routes) == 1 else mixed(routes, self.plan, self.job["index"])

    # What a model does.

    def start(self) -> None:
        """Send the first requests, now that the phase has begun."""
        raise NotImplementedError

    def finished(self, user: User, now: float, services: list[int]) -> None:
        """The request has its outcome; what comes next is up to the model."""
        raise NotImplementedError

    def look(self, now: float) -> None:
        """Once in a while: who is to come or to leave."""

    # One request of either model.

    def begin(self, user: User, start: float, now: float) -> None:
        """Send a request that was wanted at `start`."""
        tally = self.tally
        if now >= tally.second_end:
            tally.roll(now)
        if tally.first is None:
            tally.first = now
        self.remaining -= 1
        tally.started += 1
        user.requests += 1
        user.turn = False
        user.start = start
        user.deadline = now + self.timeout
        user.route = self.route if self.mix is None else next(self.mix)
        conn = user.conn
        if conn is not None:
            conn.send(now)
        else:
            conn, user.spare = user.spare or self.new_conn(self, user), None
            conn.connect(user, now)

    def failed(self, user: User, outcome: str) -> None:
        """The request ended without an HTTP answer."""
        now = perf_counter()
        tally = self.tally
        if now >= tally.second_end:
            tally.roll(now)
        times = tally.times_of(user.route.index, NO_BACKEND, outcome)
        times.totals.append(int((now - user.start) * 1e6))
        tally.last = now
        user.backoff = min(BACKOFF_MOST, user.backoff * 2 or BACKOFF_FIRST)
        self.finished(user, now, times.services)

    # Once in a while.

    def _tick(self) -> None:
        now = perf_counter()
        self.ticks += 1
        due = self.began + self.ticks * TICK
        self.lags.append(max(0, int((now - due) * 1e6)))
        if now >= due + TICK:
            self.ticks = int((now - self.began) / TICK)
        self._sweep(now)
        # Answers roll the tally over too, so its own second cannot tell when to report.
        if now >= self.next_report:
            self.next_report = now + 1.0
            self._second(now)
        else:
            self.tally.fold()
        if not self.done:
            wait = self.began + (self.ticks + 1) * TICK - perf_counter()
            self.timer = self.loop.call_later(max(0.001, wait), self._tick)

    def _sweep(self, now: float) -> None:
        if now >= self.next_deadline:
            for user in self.users:
                if user.deadline <= now:
                    self._time_out(user)
            # What begins from now on has all of its time: thousands of users are looked at seldom.
            self.next_deadline = min([now + self.timeout, *(user.deadline for user in self.users)])
        over = itertools.takewhile(lambda item: item[1] <= now, self.lingering.items())
        for conn, _ in list(over):
            conn.transport.close()
            self.lingering.pop(conn, None)
        self.look(now)

    def _time_out(self, user: User) -> None:
        conn = user.conn
        if conn is None:
            return
        if conn.made:
            conn.drop()
            self.failed(user, "timeout")
        else:
            self.failed(user, conn.give_up())

    def _second(self, now: float) -> None:
        self.tally.roll(now)
        self._measure(now)
        if self.report is not None:
            self.report()

    def _measure(self, now: float) -> None:
        wall, cpu = self.cpu_mark
        used = process_time()
        # A share of less would be a reading of the clocks' steps; better than none, though.
        if now - wall >= 0.5 or (self.cpu == 0.0 and now > wall):
            self.cpu = max(self.cpu, (used - cpu) / (now - wall))
            self.cpu_mark = (now, used)
        self.lag.record_many(self.lags)
        self.lags.clear()

    def finish(self) -> None:
        """The phase is over: every request has its outcome."""
        if not self.done:
            self.done = True
            self.timer.cancel()
            self._measure(perf_counter())
            self.loop.stop()

    def own_figures(self) -> dict[str, float]:
        """What the worker knows about itself, in the engine's names."""
        self.lag.record_many(self.lags)
        self.lags.clear()
        return {
            "cpu": self.cpu,
            "lag": self.lag.percentile(99) or 0.0,
            "achieved": self.achieved,
            "late": self.late,
        }
