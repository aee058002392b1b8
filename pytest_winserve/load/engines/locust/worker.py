"""What a worker process of Locust does with its share of a plan; imported in Locust only.

Locust makes the users, and its master says when a phase begins: the warm-up, then the counted load.
In a phase every user sends through Locust's client, and Locust's request event tells what came of
it. Users end a phase by themselves after their last answer, so no request is cut off. What was
counted goes to the master in Locust's own reports, whose rounded times nobody reads.
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from locust import FastHttpUser, task
from locust.exception import StopUser

from pytest_winserve.load.engines.locust.channel import Agent, Channel, OutOfTime, Tls, tls_of
from pytest_winserve.load.journeys.compiled import Journeys
from pytest_winserve.load.journeys.passes import Passes
from pytest_winserve.load.journeys.visitor import Answer, Visitor
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import (
    NO_BACKEND,
    UNEXPECTED,
    is_answer,
    is_redirect,
    is_status,
)
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.tally import Tally
from pytest_winserve.load.recording.wire import Route, backend_of, mixed, place_of
from pytest_winserve.tags import BACKEND_HEADER
from pytest_winserve.version import __version__

TICK = 0.05
"""Seconds between two looks at lag."""
BACKOFF_FIRST, BACKOFF_MOST = 0.01, 1.0
"""Pause of a user after a request without an HTTP answer, doubling until an answer comes."""
LATE = 0.010


@dataclass(frozen=True, slots=True)
class StepRoute:
    """The request of a journey's step, as a `Route` is one of a plan."""

    index: int
    method: str
    path: str
    data: bytes


class WinserveUser(FastHttpUser):
    """A user of Locust that does what the worker's phases say."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.worker: Worker = environment.winserve
        self.number = self.worker.enlist()
        self.phases = 0
        self.channel: Channel | None = None
        self.route: Route | StepRoute
        self.visitor: Visitor
        self.due = 0.0
        self.asked = 0.0
        self.outcome = ""

    def context(self) -> dict[str, Any]:
        """What the request event brings along."""
        return {"winserve": self}

    @task
    def send(self) -> None:
        # By number, as a user may come to run only after a phase has begun.
        phase = self.worker.phase(self.phases).get()
        self.phases += 1
        if self.number >= phase.users:
            raise StopUser  # Locust made it in place of one of a worker that was lost
        phase.serve(self)

    def open_channel(self, address: tuple[str, int], tls: Tls | None) -> Channel:
        """The user's channel, which lasts from phase to phase."""
        if self.channel is None:
            self.channel = Channel(address, tls)
            self.client.client = Agent(self.channel)
        return self.channel


class Worker:
    """The users of this process, and the phase that they are in."""

    def __init__(self, environment: Any) -> None:
        self._runner = environment.runner
        self._users = 0
        self._phase: Phase | None = None
        self._before = 0
        self._seconds_told = 0
        self._told_all = False
        self._phases: list[AsyncResult] = []
        self._begun = 0
        self._runner.register_message("winserve_phase", self._begin)
        environment.events.request.add_listener(self._record)
        environment.events.report_to_master.add_listener(self._report)

    def phase(self, n: int) -> AsyncResult:
        """The phase with that number, from 0, once it has begun."""
        while len(self._phases) <= n:
            self._phases.append(AsyncResult())
        return self._phases[n]

    def enlist(self) -> int:
        """The number of a new user."""
        self._users += 1
        return self._users - 1

    def _begin(self, msg: Any, **_: object) -> None:
        try:
            self._start(msg.data)
        except Exception:
            self._runner.send_message("winserve_refused", {"text": traceback.format_exc()})

    def _start(self, job: dict[str, Any]) -> None:
        if job["version"] != __version__:
            text = f"it has pytest-winserve {__version__}, the master {job['version']}"
            self._runner.send_message("winserve_refused", {"text": text})
            return
        phase = self._phase = Phase(job, self._users, self._ended)
        self.phase(self._begun).set(phase)
        self._begun += 1
        phase.start()

    def _ended(self, phase: Phase) -> None:
        if not phase.counted:
            self._before += phase.tally.snapshot(timeline_from=0, final=True)["sent"]
            self._runner.send_message("winserve_warm", {})

    def _record(
        self,
        response_time: float,
        response: Any,
        exception: BaseException | None,
        context: dict[str, Any],
        **_: object,
    ) -> None:
        assert self._phase is not None
        self._phase.record(context["winserve"], response_time / 1000, response, exception)

    def _report(self, data: dict[str, Any], **_: object) -> None:
        """Put what was counted into the report that Locust sends to its master once a second."""
        phase = self._phase
        if phase is None or not phase.counted or self._told_all:
            return
        self._told_all = phase.over
        snapshot = phase.tally.snapshot(timeline_from=self._seconds_told, final=phase.over)
        self._seconds_told = phase.tally.closed_seconds
        data["winserve"] = {**snapshot, **phase.own_figures(), "before": self._before}


class Phase:
    """One load, from its start until every request of this worker has its outcome."""

    def __init__(self, job: dict[str, Any], users: int, ended: Any) -> None:
        plan = self.plan = Plan.from_dict(job["plan"])
        self.counted: bool = job["counted"]
        self.over = False
        self._ended = ended
        self._address = job["address"][0], job["address"][1]
        self._tls = tls_of(job["tls"])
        self._nonce: str | None = job["nonce"]
        self._place = job["index"] / job["of"]
        routes = [
            Route(index, request, job["host"], job["tag"], plan.keepalive)
            for index, request in enumerate(plan.requests)
        ]
        self._routes = mixed(routes, plan, job["index"])
        self._turn = job["index"], job["of"]
        url = f"{job['scheme']}://{job['host']}"
        keep, seed = plan.keepalive, job["index"]
        self._journeys = Journeys(plan.journeys, url, job["tag"], keepalive=keep, seed=seed)
        self.users = users
        self._serving = users
        self._remaining = -1 if plan.count is None else plan.count
        self._enough = Event()  # set when no request is left to be sent
        self._idle: list[AsyncResult] = []
        self._lag = Histogram()
        self._lags: list[int] = []
        self._cpu = 0.0
        self._achieved = 1.0
        self._late = 0
        self._began = perf_counter()
        self._next_connect = self._began
        self._mark = self._began, process_time()
        self.tally = Tally(self._began)
        self._passes = Passes(len(plan.journeys))
        if plan.journeys:
            self.tally.passes = self._passes

    def start(self) -> None:
        gevent.spawn(self._tick)
        if self.plan.open_model:
            gevent.spawn(self._arrive)

    def serve(self, user: WinserveUser) -> None:
        """All that a user does in this phase."""
        channel = user.open_channel(self._address, self._tls)
        try:
            if self.plan.open_model:
                self._serve_arrivals(user)
            else:
                for begin, end in self.plan.stretches(user.number):
                    self._pause(self._began + begin)
                    if self.plan.journeys:
                        self._walk_stretch(user, channel, self._began + end)
                    else:
                        self._serve_stretch(user, channel, self._began + end)
        finally:
            if self.counted:
                channel.close()
            self._serving -= 1
            if not self._serving:
                self._measure(perf_counter())
                self.over = True
                self._ended(self)

    # The closed model: users that go on by themselves.

    def _serve_stretch(self, user: WinserveUser, channel: Channel, end: float) -> None:
        began, sent, backoff = perf_counter(), 0, 0.0
        while perf_counter() < end:
            if not self._remaining:
                if sent:
                    self._add_session(began)
                return
            if self.plan.connect_rate and not channel.is_open:
                self._await_turn(end)
                if perf_counter() >= end or not self._remaining:
                    continue
            self._take_one()
            self._ask(user, channel, perf_counter(), next(self._routes))
            sent += 1
            answered = is_status(user.outcome)
            backoff = 0.0 if answered else min(BACKOFF_MOST, backoff * 2 or BACKOFF_FIRST)
            delay = max(self.plan.think_time, backoff)
            if delay:
                self._pause(min(end, perf_counter() + delay))

    # Journeys, in the closed model: one pass after the other.

    def _walk_stretch(self, user: WinserveUser, channel: Channel, end: float) -> None:
        index, workers = self._turn
        # By turns among the workers, so that no row of data is dealt in two of them.
        visitor = user.visitor = Visitor(self._journeys, user.number * workers + index)
        began, backoff = 0.0, 0.0
        while perf_counter() < end:
            if not visitor.on_the_way and not self._remaining:
                return
            if self.plan.connect_rate and not channel.is_open:
                self._await_turn(end)
                if perf_counter() >= end:
                    return
            if not visitor.on_the_way:
                if not self._remaining:
                    return
                self._take_one()
                visitor.set_out()
                began = perf_counter()
                self._passes.begun[visitor.chosen] += 1
            data = visitor.request()
            route = StepRoute(visitor.index, visitor.step.method, visitor.path, data)
            self._ask(user, channel, perf_counter(), route)
            if not is_status(user.outcome):
                if user.outcome != UNEXPECTED:
                    self._passes.break_off(visitor.chosen, visitor.index)
                visitor.give_up()
            elif visitor.arrived:
                self._passes.complete[visitor.chosen] += 1
                visitor.give_up()
            if not visitor.on_the_way:
                self._add_session(began)
            answered = is_answer(user.outcome)
            backoff = 0.0 if answered else min(BACKOFF_MOST, backoff * 2 or BACKOFF_FIRST)
            think = 0.0 if visitor.following else visitor.pause(self.plan.think_time)
            left = min(end - perf_counter(), max(think, backoff))
            if left > 0 and (visitor.on_the_way or self._remaining):
                gevent.sleep(left)

    def _take_one(self) -> None:
        self._remaining -= 1
        if not self._remaining:
            self._enough.set()

    def _pause(self, until: float) -> None:
        """Wait until then, or until no request is left."""
        left = until - perf_counter()
        if left > 0:
            self._enough.wait(left)

    def _await_turn(self, end: float) -> None:
        """Wait until this user may connect, one after the other at the plan's pace."""
        assert self.plan.connect_rate is not None
        due = max(self._next_connect, perf_counter())
        self._next_connect = due + 1 / self.plan.connect_rate
        self._pause(min(due, end))

    # The open model: requests that come when they are due, for users that wait for one.

    def _serve_arrivals(self, user: WinserveUser) -> None:
        assert user.channel is not None
        while not self._enough.is_set():
            turn: AsyncResult = AsyncResult()
            self._idle.append(turn)
            due = turn.get()
            if due is None:
                return
            self._ask(user, user.channel, due, next(self._routes))
            self._add_session(due)

    def _arrive(self) -> None:
        stop_at = math.inf if self.plan.seconds is None else self._began + self.plan.seconds
        arrivals = 0
        while self._remaining:
            # The workers' schedules interleave: theirs together is the plan's.
            due = self._began + self.plan.arrival_time(arrivals + self._place)
            if due >= stop_at - 1e-9:
                break
            now = perf_counter()
            if due > now:
                gevent.sleep(due - now)
                continue
            arrivals += 1
            self._lags.append(int((now - due) * 1e6))
            ran, late = now - self._began, now - due
            self._late += late > LATE
            self._achieved = 1.0 if late <= LATE else (ran - late) / ran
            if self._idle:
                self._remaining -= 1
                # The latest one: its connection is the least likely to be stale.
                self._idle.pop().set(due)
            else:
                self.tally.dropped += 1
        self._enough.set()
        for turn in self._idle:
            turn.set(None)

    # One request of either model.

    def _ask(
        self, user: WinserveUser, channel: Channel, due: float, route: Route | StepRoute
    ) -> None:
        channel.prepare(route)
        user.route = route
        user.due = due
        user.outcome = ""
        user.asked = now = perf_counter()
        self._roll(now)
        if self.tally.first is None:
            self.tally.first = now
        self.tally.started += 1
        with gevent.Timeout(self.plan.timeout, OutOfTime()):
            user.client.request(route.method, route.path)
        if not user.outcome:
            raise RuntimeError(f"Locust told nothing about {route.method} {route.path}")

    def record(
        self, user: WinserveUser, seconds: float, response: Any, error: BaseException | None
    ) -> None:
        """Count what came of a request; `seconds` is Locust's time of it."""
        channel, tally = user.channel, self.tally
        assert channel is not None
        now = perf_counter()
        self._roll(now)
        if channel.connect_seconds is not None:
            tally.connects.append(int(channel.connect_seconds * 1e6))
        if channel.tls_seconds is not None:
            tally.handshakes.append(int(channel.tls_seconds * 1e6))
        outcome, limit = channel.outcome(error, response.status_code)
        backend: str | None = NO_BACKEND
        place, size = "", None
        if is_status(outcome):
            size = len(response.content)
            if is_redirect(outcome):
                place = place_of(response.headers.get("location") or "")
            backend = backend_of(response.headers.get(BACKEND_HEADER.lower()), self._nonce)
            if backend is None:
                outcome = "bad_response"
        if backend is None or not is_status(outcome):
            backend = NO_BACKEND
        else:
            if self.plan.journeys:
                outcome = self._judged(user, response, outcome)
            tally.first_bytes.append(int(channel.first_byte_seconds * 1e6))
        times = tally.times_of(user.route.index, backend, outcome, place, size)
        times.totals.append(int((seconds + user.asked - user.due) * 1e6))
        if self.plan.open_model:
            times.services.append(int(seconds * 1e6))
        if limit:
            tally.client_limits[limit] += 1
        tally.last = now
        user.outcome = outcome

    def _judged(self, user: WinserveUser, response: Any, outcome: str) -> str:
        """The outcome of an answer, as the step of the user's journey sees it."""
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in response.headers.items()
        ]
        visitor = user.visitor
        unmet = visitor.take_in(Answer(response.status_code, fields, response.content))
        if unmet is None:
            return outcome
        self._passes.break_off(visitor.chosen, visitor.index, unmet)
        return UNEXPECTED

    def _add_session(self, began: float) -> None:
        self._roll(perf_counter())
        self.tally.sessions.append(int((self.tally.last - began) * 1e6))

    def _roll(self, now: float) -> None:
        if now >= self.tally.second_end:
            self.tally.roll(now)

    # Once in a while.

    def _tick(self) -> None:
        ticks = 0
        while not self.over:
            ticks += 1
            due = self._began + ticks * TICK
            gevent.sleep(max(0.0, due - perf_counter()))
            now = perf_counter()
            self._lags.append(max(0, int((now - due) * 1e6)))
            if now >= due + TICK:
                ticks = int((now - self._began) / TICK)
            if not self.over and now - self._mark[0] >= 1.0:
                self._measure(now)

    def _measure(self, now: float) -> None:
        wall, cpu = self._mark
        used = process_time()
        # A share of less would be a reading of the clocks' steps; better than none, though.
        if now - wall >= 0.5 or (self._cpu == 0.0 and now > wall):
            self._cpu = max(self._cpu, (used - cpu) / (now - wall))
            self._mark = now, used

    def own_figures(self) -> dict[str, float]:
        """What the worker knows about itself, in the engine's names."""
        self._lag.record_many(self._lags)
        self._lags.clear()
        lag = self._lag.percentile(99) or 0.0
        return {"cpu": self._cpu, "lag": lag, "achieved": self._achieved, "late": self._late}
