"""Users of the built-in engine and their connections: one request at a time, and its answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter
from typing import Protocol

import httptools

from pytest_winserve.load.engines.builtin.answers import Head, KnownRoute, Parse, head_keeps
from pytest_winserve.load.engines.builtin.event_loops import Connecting, Handle, Loop, Transport
from pytest_winserve.load.measures.outcomes import is_redirect
from pytest_winserve.load.recording.tally import Tally, Times
from pytest_winserve.load.recording.wire import backend_of, classify, place_of

LINGER = 1.0
"""Seconds that the server gets to close a connection that is over, before we do: who closes first
keeps the port in TIME_WAIT, and our ports are the scarce ones."""
HEADS = 512
"""Heads of answers that are remembered; see Head."""
SHORT = 1024
"""Bytes of an answer up to which it is compared as a whole."""


class Sending(Protocol):
    """What a connection needs of the load that it is a part of; see `Run`."""

    loop: Loop
    address: tuple[str, int]
    nonce: str | None
    keepalive: bool
    timeout: float
    tally: Tally
    lingering: dict[Conn, float]
    steady: bool
    stop_at: float
    remaining: int
    mix: Iterator[KnownRoute] | None

    def failed(self, user: User, outcome: str) -> None:
        """The request ended without an HTTP answer."""

    def finished(self, user: User, now: float, services: list[int]) -> None:
        """The request has its outcome."""


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
    parse_type: type[Parse] = Parse

    def __init__(self, run: Sending, user: User) -> None:
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

    def give_up(self) -> str:
        """No longer wait for the connection; the outcome of its request."""
        if self.user is not None:
            self.user.conn = None
            self.user = None
        self.link.cancel()
        return "connect_timeout"

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
            parse = self.parse = self.parse_type()
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
            keep = head_keeps(data)
        counted = self._counted(parse)
        if counted is None:
            self._failed("bad_response")
            return
        end = data.find(b"\r\n\r\n")
        times = counted[2]
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

    def _counted(self, parse: Parse) -> tuple[str, str, Times] | None:
        """The backend of an answer, where it redirects to, and what it counts into; None when it
        comes from another site."""
        run, user = self.run, self.user
        assert user is not None
        mark = None if parse.backend is None else parse.backend.decode("latin-1")
        backend = backend_of(mark, run.nonce)
        if backend is None:
            return None
        status, place = str(parse.status), ""
        if parse.location and is_redirect(status):
            place = place_of(parse.location.decode("latin-1"))
        times = run.tally.times_of(user.route.index, backend, status, place, parse.length)
        return backend, place, times

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
