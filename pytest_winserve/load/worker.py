"""One process of the built-in engine: `python -m pytest_winserve.load.worker`.

Everything happens in one event loop. A `User` makes one request at a time over a connection of its
own; in the closed model it goes on by itself, in the open model a schedule gives it requests and
idle users (with their kept connections) are the pool. See engine.py for the protocol.
"""

from __future__ import annotations

import gc
import itertools
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

import httptools

from pytest_winserve.load.exchange import (
    BACKEND_HEADER,
    NO_BACKEND,
    Route,
    backend_of,
    classify,
    mixed,
)
from pytest_winserve.load.histogram import Histogram
from pytest_winserve.load.limits import raise_descriptors
from pytest_winserve.load.loops import Connecting, Handle, Loop, Transport, new_loop
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.tally import Tally, Times

TICK = 0.05
"""Seconds between two looks at timeouts, levels and lag."""
BACKOFF_FIRST, BACKOFF_MOST = 0.01, 1.0
"""Pause of a user after a request without an HTTP answer, doubling until an answer comes."""
LINGER = 1.0
"""Seconds that the server gets to close a connection that is over, before we do: who closes first
keeps the port in TIME_WAIT, and our ports are the scarce ones."""
HEADS = 512
"""Heads of answers that are remembered; see Head."""
SHORT = 1024
"""Bytes of an answer up to which it is compared as a whole."""
LATE = 0.010
"""Seconds after its time from which on a request of the open model counts as late."""
AT_ONCE = 500
"""Users that come in, or arrivals, one after the other, before answers are looked at again."""
OVERTIME = 1.0
"""Seconds after the end of the open model in which what was due is still sent; then it is dropped,
so that a rate that cannot be kept does not make the load longer."""


class Head:
    """What the head of an answer says: enough to take an equal one, byte by byte, as read.

    Servers repeat heads (the date changes once a second), and comparing one is much cheaper than
    parsing it again. Only answers with a known length that came in one piece are remembered.
    """

    __slots__ = ("keep", "services", "size", "totals")

    def __init__(self, keep: bool, size: int, times: Times) -> None:
        self.keep = keep
        self.size = size
        """Length of the whole answer, less that of its head without the empty line."""
        self.totals = times.totals
        self.services = times.services


class KnownRoute(Route):
    """A request, and what is known of answers to it.

    `heads` are those seen; `answer` is the last whole one, if short, and `answer_head` its head:
    comparing all of it is cheaper than finding its head.
    """

    __slots__ = ("answer", "answer_head", "heads")

    answer: bytes
    answer_head: Head
    heads: dict[bytes, Head]


class Parse:
    """The answer that is being read, by httptools; and whether it is complete."""

    __slots__ = (
        "backend",
        "chunked",
        "complete",
        "extra",
        "headers",
        "keep",
        "length",
        "parser",
        "status",
    )

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        self.backend: bytes | None = None
        self.length: int | None = None
        self.chunked = False
        self.headers = False
        self.keep = False
        self.status = 0
        self.complete = False
        self.extra = False

    def on_message_begin(self) -> None:
        if self.complete:
            self.extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            self.length = int(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            self.chunked = True
        elif size == 18 and name.lower() == BACKEND_HEADER:
            self.backend = value

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.headers = True
            self.status = self.parser.get_status_code()

    def on_message_complete(self) -> None:
        if not self.complete:
            if self.status < 200:
                self.reset()  # an interim answer (100, 103): the real one follows
            else:
                self.complete = True
                self.keep = self.parser.should_keep_alive()  # only here does it know


class User:
    """One request at a time, over a connection of its own."""

    __slots__ = (
        "active",
        "backoff",
        "began",
        "conn",
        "deadline",
        "index",
        "pause",
        "requests",
        "route",
        "spare",
        "start",
        "turn",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.active = False
        self.conn: Conn | None = None
        """The one that is being made, or kept."""
        self.spare: Conn | None = None
        """One that is over, to be opened again: making another costs more."""
        self.pause: Handle | None = None
        self.route: KnownRoute
        self.start = 0.0
        self.deadline = math.inf
        self.backoff = 0.0
        self.began = 0.0
        self.requests = 0
        self.turn = False


class Conn:
    """The TCP connection of a user, and the next one; reads one answer at a time."""

    __slots__ = (
        "began",
        "ended",
        "first",
        "link",
        "made",
        "parse",
        "route",
        "run",
        "sent_at",
        "transport",
        "user",
        "waiting",
    )

    transport: Transport
    route: KnownRoute

    def __init__(self, run: Run, user: User) -> None:
        self.run = run
        self.user: User | None = user
        self.link: Connecting = run.loop.connection(self, run.address)
        self.parse: Parse | None = None
        self.made = False
        self.ended = False
        self.waiting = False
        self.first = 0.0
        """When the first piece of an answer in several came."""
        self.sent_at = 0.0
        self.began = 0.0

    def connect(self, user: User, now: float) -> None:
        """Make the connection and send the user's request."""
        self.user = user
        user.conn = self
        self.made = False
        self.began = now
        self.link.open(user.route.data)

    def give_up(self) -> None:
        """No longer wait for the connection."""
        if self.user is not None:
            self.user.conn = None
            self.user = None
        self.link.cancel()

    def connection_made(self, transport: Transport, at: float | None = None) -> None:
        self.transport = transport
        user = self.user
        if user is None:
            transport.abort()  # it was given up in the same moment
            return
        self.made = True
        now = perf_counter() if at is None else at
        tally = self.run.tally
        if now >= tally.second_end:
            tally.roll(now)
        tally.connects.append(int((now - self.began) * 1e6))
        self.route = user.route
        self.waiting = True
        self.sent_at = now
        if at is None:
            transport.write(user.route.data)

    def connect_failed(self, error: OSError) -> None:
        user, run = self.user, self.run
        if user is None:
            return
        self.user = user.conn = None
        outcome, limit = classify(error)
        if limit:
            run.tally.client_limits[limit] += 1
        run.failed(user, outcome)

    def send(self, now: float) -> None:
        user = self.user
        assert user is not None
        self.route = user.route
        self.waiting = True
        self.sent_at = now
        self.transport.write(user.route.data)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self.waiting:
            self._unasked()
            return
        if self.first == 0.0:
            route = self.route
            if data == route.answer:
                self._answered(now, now, route.answer_head)
                return
            if type(data) is not bytes:  # Proactor hands out a bytearray
                data = bytes(data)
            end = data.find(b"\r\n\r\n")
            head = route.heads.get(data[:end])
            if head is not None and head.size == len(data) - end and end > 0:
                if len(data) <= SHORT:
                    route.answer, route.answer_head = data, head
                self._answered(now, now, head)
                return
            self.first = now
        self._parse(data, now)

    def _parse(self, data: bytes, now: float) -> None:
        parse = self.parse
        if parse is None:
            parse = self.parse = Parse()
        user = self.user
        assert user is not None
        try:
            parse.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            if not parse.complete:
                self._failed("bad_response")
                return
            parse.extra = True  # the answer was whole; what follows it is not an answer
        if parse.headers and user.route.head and parse.status >= 200:
            parse.complete = True  # httptools cannot know that no body follows
            parse.extra = True
        if parse.complete:
            self._parsed(data, now)

    def _parsed(self, data: bytes, now: float) -> None:
        parse, run, user = self.parse, self.run, self.user
        assert parse is not None
        assert user is not None
        keep = parse.keep and not parse.extra
        if user.route.head:
            keep = _head_keeps(data)
        mark = None if parse.backend is None else parse.backend.decode("latin-1")
        backend = backend_of(mark, run.nonce)
        if backend is None:
            self._failed("bad_response")
            return
        end = data.find(b"\r\n\r\n")
        times = run.tally.times_of(user.route.index, backend, str(parse.status))
        head = Head(keep and run.keepalive, len(data) - end, times)
        whole = parse.length is not None and len(data) == end + 4 + parse.length
        if whole and end > 0 and not parse.chunked and not parse.extra:
            heads = self.route.heads
            if len(heads) >= HEADS:
                heads.clear()
            heads[data[:end]] = head
        if parse.extra or not parse.keep:
            self.parse = None  # the parser takes no other answer after the last one
        else:
            parse.reset()
        first, self.first = self.first, 0.0
        self._answered(now, first, head)

    def _answered(self, now: float, first: float, head: Head) -> None:
        run, user = self.run, self.user
        assert user is not None
        tally = run.tally
        if now >= tally.second_end:
            tally.roll(now)
        tally.first_bytes.append(int((first - self.sent_at) * 1e6))
        head.totals.append(int((now - user.start) * 1e6))
        tally.last = now
        user.backoff = 0.0
        ended = self.ended
        keep = head.keep and not ended
        if run.steady and (keep or ended) and now < run.stop_at and run.remaining != 0:
            # What leave, run.finished, _next, _begin and send do, for what must be cheap. The next
            # request is wanted as soon as the answer is here, or its connection is out of the way.
            if ended:
                self.link.clear()
                now = perf_counter()
                if now >= tally.second_end:
                    tally.roll(now)
            run.remaining -= 1
            tally.started += 1
            user.start = self.sent_at = now
            user.deadline = now + run.timeout
            if run.mix is not None:
                self.route = user.route = next(run.mix)
            if keep:
                self.transport.write(user.route.data)
            else:
                self.waiting = False
                self.connect(user, now)
            return
        self.waiting = False
        if not keep:
            self.leave()
        run.finished(user, now, head.services)

    def _failed(self, outcome: str) -> None:
        user = self.user
        assert user is not None
        self.drop()
        self.run.failed(user, outcome)

    def leave(self) -> None:
        """Let the server close; see LINGER."""
        user, self.user = self.user, None
        if user is not None:
            user.conn = None
        if self.ended:
            self.link.clear()
            if user is not None:
                user.spare = self
        elif not self.transport.is_closing():
            self.run.lingering[self] = perf_counter() + LINGER

    def drop(self) -> None:
        """Close at once; nothing that arrives counts any more."""
        self.waiting = False
        if self.user is not None:
            self.user.conn = None
            self.user = None
        self.transport.abort()

    def pause_writing(self) -> None:
        return  # a user sends one request, and then waits

    def resume_writing(self) -> None:
        return

    def _unasked(self) -> None:
        # Data that no request asked for: whatever it is, no later answer may be mixed with it.
        if self.user is not None:
            self.drop()

    def eof_received(self) -> bool | None:
        if self.waiting:
            parse = self.parse
            if parse and parse.headers and not parse.chunked and parse.length is None:
                parse.extra = True  # neither length nor chunks: the end is the end of the answer
                self._parsed(b"", perf_counter())
            else:
                self._failed("closed_early")
        elif self.user is not None:
            self.user.conn = None
            self.user = None
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.run.lingering.pop(self, None)
        if self.waiting:
            self._failed(classify(exc)[0] if exc else "closed_early")
        elif self.user is not None:
            self.user.conn = None
            self.user = None


def _head_keeps(data: bytes) -> bool:
    # For answers to HEAD the parser waits for the body, so its own opinion is not to be had.
    head = data.lower()
    return head.startswith(b"http/1.1") and b"\r\nconnection: close" not in head


class Run:
    """All users of this worker, through the warm-up and the counted load."""

    def __init__(self, job: dict[str, Any], loop: Loop) -> None:
        self.plan = Plan.from_dict(job["plan"])
        self.job = job
        self.loop = loop
        host, port = job["address"]
        self.address = host, port
        self.nonce: str | None = job["nonce"]
        self.keepalive = self.plan.keepalive
        self.timeout = self.plan.timeout
        self.think = self.plan.think_time
        self.users: list[User] = []
        self.idle: list[User] = []
        self.lingering: dict[Conn, float] = {}
        self.connect_gap = 1 / self.plan.connect_rate if self.plan.connect_rate else 0.0
        self.next_connect = 0.0
        self.lag = Histogram()
        self.lags: list[int] = []
        self.cpu = 0.0
        self.achieved = 1.0
        self.late = 0

    def phase(self, *, counted: bool, report: Callable[[], None] | None = None) -> None:
        """One load from its start until every request has its outcome."""
        plan = self.plan
        self.done = False
        self.report = report
        tag = self.job["tag"] if counted else self.job["warmup_tag"]
        routes = [
            KnownRoute(index, request, self.job["host"], tag, plan.keepalive)
            for index, request in enumerate(plan.requests)
        ]
        for route in routes:
            route.heads, route.answer = {}, b""
        self.route = routes[0]
        self.mix = None if len(routes) == 1 else mixed(routes, plan, self.job["index"])
        self.counted = counted
        self.lag = Histogram()
        self.cpu = 0.0
        self.next_deadline = 0.0
        self.want = 0
        self.entering: Handle | None = None
        self.active = 0
        self.busy = 0
        self.ending = False
        self.ramping = counted and bool(plan.stages)
        # Every user goes on at once after an answer: closed, and nobody is asked to leave or wait.
        self.steady = not (plan.open_model or plan.think_time or self.ramping or self.connect_gap)
        self.remaining = plan.count if counted and plan.count is not None else -1
        seconds = plan.seconds if counted else plan.warmup
        began = perf_counter()
        self.tally = Tally(began)
        self.began = began
        self.stop_at = math.inf if seconds is None else began + seconds
        self.next_connect = began
        self.ticks = 0
        self.next_report = began + 1.0
        self.cpu_mark = (began, process_time())
        self.timer = self.loop.call_later(TICK, self._tick)
        if plan.open_model:
            self.arrivals = self.late = 0
            self._arrive()
        else:
            self._grow()
        if not self.done:
            self.loop.run_forever()

    # The closed model: users that go on by themselves.

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
            self.users.append(User(len(self.users)))
        if self.entering is not None:
            self.entering.cancel()
        self._enter(0)

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
            self._begin(user, now, now)

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
            now = perf_counter()
            if now >= self.tally.second_end:
                self.tally.roll(now)
            self.tally.sessions.append(int((self.tally.last - user.began) * 1e6))
        if user.conn is not None and self.counted:
            user.conn.drop()
        if not self.active and (self.remaining == 0 or perf_counter() >= self.stop_at):
            self._finish()

    # The open model: requests that come when they are due.

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
                self._begin(user, due, now)
            now = perf_counter()
        if not self.busy:
            self._finish()

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

    # One request of either model.

    def _begin(self, user: User, start: float, now: float) -> None:
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
            conn, user.spare = user.spare or Conn(self, user), None
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

    def finished(self, user: User, now: float, services: list[int]) -> None:
        """The request has its outcome; what comes next is up to the model."""
        if self.plan.rate is not None:
            self.tally.sessions.append(int((now - user.start) * 1e6))
            services.append(int((now - user.deadline + self.timeout) * 1e6))
            user.deadline = math.inf
            self.busy -= 1
            self.idle.append(user)
            if self.ending and not self.busy:
                self._finish()
            return
        user.deadline = math.inf
        delay = max(self.think, user.backoff)
        if delay and self.remaining != 0:
            user.pause = self.loop.call_later(delay, self._next, user)
        else:
            self._next(user)

    # Once in a while.

    def _tick(self) -> None:
        if self.done:
            return
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
        if self._over():
            return
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
        if self.plan.rate is not None:
            return
        if self.ramping and now < self.stop_at:
            self._grow()
        if now >= self.stop_at or self.remaining == 0:
            for user in self.users:
                if user.pause is not None:
                    user.pause.cancel()
                    self._next(user)
            if not self.active:
                self._finish()

    def _time_out(self, user: User) -> None:
        conn = user.conn
        if conn is None:
            return
        if conn.made:
            conn.drop()
            self.failed(user, "timeout")
        else:
            conn.give_up()
            self.failed(user, "connect_timeout")

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

    def _over(self) -> bool:
        return self.done

    def _finish(self) -> None:
        if not self.done:
            self.done = True
            self.timer.cancel()
            if self.entering is not None:
                self.entering.cancel()
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


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_the_engine() -> None:
    """End this process when there is no engine any more."""
    sys.stdin.read()
    os._exit(1)


def work(job: dict[str, Any]) -> None:
    """Run a job as the engine says, line by line."""
    loop = new_loop()
    run = Run(job, loop)
    gc.collect()
    gc.freeze()
    _say({"type": "ready", "sockets": loop.sockets})
    word = sys.stdin.readline()
    if word == "warm\n":
        run.phase(counted=False)
        _say({"type": "warm"})
        word = sys.stdin.readline()
    if not word:
        os._exit(1)
    threading.Thread(target=_end_with_the_engine, daemon=True).start()
    sent_seconds = 0

    def report(*, final: bool = False) -> None:
        nonlocal sent_seconds
        snapshot = run.tally.snapshot(timeline_from=sent_seconds, final=final)
        sent_seconds = run.tally.closed_seconds
        _say({**snapshot, **run.own_figures()})

    run.phase(counted=True, report=report)
    report(final=True)
    # Nothing is left to be done, and closing thousands of connections one by one takes a while.
    os._exit(0)


def main() -> None:
    # Ctrl-C reaches the whole group; when to end is the engine's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_descriptors()
    job = json.loads(sys.stdin.readline())
    work(job)


if __name__ == "__main__":
    main()
