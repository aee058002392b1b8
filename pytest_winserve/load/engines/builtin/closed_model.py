"""The closed model: users that send, wait for the answer, and go on by themselves."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

from pytest_winserve.load.engines.builtin.connection import User
from pytest_winserve.load.engines.builtin.event_loops import Handle, Loop
from pytest_winserve.load.engines.builtin.phase import AT_ONCE, Run
from pytest_winserve.load.plan import Plan


class ClosedRun(Run):
    """As many users as the plan's level wants; each goes on after its answer and think time."""

    def __init__(self, plan: Plan, job: dict[str, Any], loop: Loop) -> None:
        super().__init__(plan, job, loop)
        self.think = plan.think_time
        self.connect_gap = 1 / plan.connect_rate if plan.connect_rate else 0.0

    def start(self) -> None:
        self.want = 0
        self.active = 0
        self.entering: Handle | None = None
        self.ramping = self.counted and bool(self.plan.stages)
        # Nobody is asked to leave or to wait.
        self.steady = not (self.think or self.ramping or self.connect_gap)
        self.next_connect = self.began
        self._grow()

    def _level(self) -> int:
        if not self.ramping:
            if self.plan.stages:  # warm-up of a ramp
                return max(1, int(self.plan.stages[0].level))
            return self.plan.users
        return round(self.plan.level_at(perf_counter() - self.began))

    def _grow(self) -> None:
        """Bring in the users that the level wants; too many leave before their next request."""
        level = self._level()
        if level == self.want:
            return
        self.want = level
        while len(self.users) < level:
            self.users.append(self.new_user())
        if self.entering is not None:
            self.entering.cancel()
        self._enter(0)

    def new_user(self) -> User:
        """The next user of this worker."""
        return User(len(self.users))

    def _enter(self, place: int) -> None:
        """Bring in the users from `place` on, with looks at answers in between."""
        self.entering = None
        came = 0
        while place < self.want and not self.done:
            user = self.users[place]
            place += 1
            if user.active:
                continue
            if came == AT_ONCE:
                self.entering = self.loop.call_later(0, self._enter, place - 1)
                return
            came += 1
            user.active = True
            user.requests = 0
            user.backoff = 0.0
            user.began = perf_counter()
            self.active += 1
            self._next(user)

    def _next(self, user: User) -> None:
        user.pause = None
        now = perf_counter()
        if now >= self.stop_at or user.index >= self.want:
            self._retire(user, ended=False)
        elif self.remaining == 0:
            self._retire(user, ended=True)
        elif self.connect_gap and user.conn is None and not self._may_connect(user, now):
            pass  # it is called again when it may
        else:
            self.begin(user, now, now)

    def _may_connect(self, user: User, now: float) -> bool:
        """Whether it is this user's turn to connect; if not, its turn is booked."""
        if user.turn:
            return True
        due = max(self.next_connect, now)
        self.next_connect = due + self.connect_gap
        if due <= now:
            return True
        user.turn = True
        user.pause = self.loop.call_later(due - now, self._next, user)
        return False

    def _retire(self, user: User, *, ended: bool) -> None:
        user.active = False
        user.turn = False
        self.active -= 1
        if ended and user.requests:
            self.count_session(user)
        if user.conn is not None and self.counted:
            user.conn.drop()
        if not self.active and (self.remaining == 0 or perf_counter() >= self.stop_at):
            self.finish()

    def count_session(self, user: User) -> None:
        """Count a user that has ended by itself."""
        now = perf_counter()
        if now >= self.tally.second_end:
            self.tally.roll(now)
        self.tally.sessions.append(int((self.tally.last - user.began) * 1e6))

    def finished(self, user: User, now: float, services: list[int]) -> None:
        user.deadline = math.inf
        delay = max(self.think, user.backoff)
        if delay and self.remaining != 0:
            user.pause = self.loop.call_later(delay, self._next, user)
        else:
            self._next(user)

    def look(self, now: float) -> None:
        if self.ramping and now < self.stop_at:
            self._grow()
        if now >= self.stop_at or self.remaining == 0:
            for user in self.users:
                if user.pause is not None:
                    user.pause.cancel()
                    self._next(user)
            if not self.active:
                self.finish()

    def finish(self) -> None:
        if self.entering is not None:
            self.entering.cancel()
        super().finish()
