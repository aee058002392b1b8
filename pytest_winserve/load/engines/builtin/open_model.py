"""The open model: requests that come when they are due, whatever the answers do."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

from pytest_winserve.load.engines.builtin.connection import User
from pytest_winserve.load.engines.builtin.event_loops import Loop
from pytest_winserve.load.engines.builtin.phase import AT_ONCE, Run
from pytest_winserve.load.plan import Plan

LATE = 0.010
"""Seconds after its time from which on a request counts as late."""
OVERTIME = 1.0
"""Seconds after the end in which what was due is still sent; then it is dropped, so that a rate
that cannot be kept does not make the load longer."""


class OpenRun(Run):
    """A schedule gives requests to idle users; these, with their kept connections, are the pool."""

    def __init__(self, plan: Plan, job: dict[str, Any], loop: Loop) -> None:
        super().__init__(plan, job, loop)
        self.idle: list[User] = []

    def start(self) -> None:
        self.arrivals = self.late = 0
        self.busy = 0
        self.ending = False
        self._arrive()

    def _arrive(self) -> None:
        now = perf_counter()
        tally = self.tally
        last = self.arrivals + AT_ONCE
        while True:
            if self.remaining == 0:
                self.ending = True
                break
            if self.arrivals == last:
                self.loop.call_later(0, self._arrive)
                return
            due = self._due(self.arrivals)
            if due >= self.stop_at - 1e-9:
                self.ending = True
                break
            if due > now:
                # Timers have milliseconds; anything shorter would make the loop spin.
                self.loop.call_later(max(0.001, due - now), self._arrive)
                return
            self.arrivals += 1
            late = now - due
            self.lags.append(int(late * 1e6))
            ran = now - self.began
            self.late += late > LATE
            self.achieved = 1.0 if late <= LATE else (ran - late) / ran
            if self.busy >= self.plan.users or now > self.stop_at + OVERTIME:
                tally.dropped += 1
            else:
                user = self._idle_user()
                self.busy += 1
                self.begin(user, due, now)
            now = perf_counter()
        if not self.busy:
            self.finish()

    def _due(self, k: int) -> float:
        # The workers' schedules interleave: theirs together is the plan's.
        place = k + self.job["index"] / self.job["of"]
        if self.counted:
            return self.began + self.plan.arrival_time(place)
        rate = self.plan.rate or self.plan.stages[0].level or 1.0
        return self.began + float(place / rate)

    def _idle_user(self) -> User:
        if self.idle:
            return self.idle.pop()  # the latest one: its connection is the least likely to be stale
        user = User(len(self.users))
        self.users.append(user)
        return user

    def finished(self, user: User, now: float, services: list[int]) -> None:
        self.tally.sessions.append(int((now - user.start) * 1e6))
        services.append(int((now - user.deadline + self.timeout) * 1e6))
        user.deadline = math.inf
        self.busy -= 1
        self.idle.append(user)
        if self.ending and not self.busy:
            self.finish()
