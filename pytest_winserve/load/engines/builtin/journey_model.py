"""Users that walk through journeys, in the closed model: cookies, values, and looks at answers.

What is sent depends on what came before it, so no request is prepared in advance here.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any, cast

from pytest_winserve.load.engines.builtin.answers import Head, KnownRoute, Parse
from pytest_winserve.load.engines.builtin.closed_model import ClosedRun
from pytest_winserve.load.engines.builtin.connection import HEADS, Conn, User
from pytest_winserve.load.engines.builtin.event_loops import Loop
from pytest_winserve.load.journeys.compiled import Journeys
from pytest_winserve.load.journeys.passes import Passes
from pytest_winserve.load.journeys.visitor import Answer, Visitor
from pytest_winserve.load.measures.outcomes import UNEXPECTED
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.tally import Times

COOKIE = b"\r\nSet-Cookie: "
MOST_BODY = 16_000_000
"""Bytes of an answer that a step may look at."""


class Asked:
    """The request of a user that is under way, in the place of a `KnownRoute`."""

    __slots__ = ("data", "heads", "index")

    head = False
    answer = b""

    def __init__(self) -> None:
        self.data = b""
        self.index = 0
        self.heads: dict[bytes, Head] = {}


class JourneyHead(Head):
    """The head of an answer to a step, without cookies in it, by which an equal one is known."""

    __slots__ = ("backend", "fields", "length", "place", "status")

    def __init__(
        self, keep: bool, size: int, times: Times, parse: JourneyParse, place: str
    ) -> None:
        super().__init__(keep, size, times)
        self.status = parse.status
        self.fields: tuple[tuple[bytes, bytes], ...] = tuple(parse.fields)
        self.length = parse.length
        self.backend = ""
        self.place = place


def without_cookie(head: bytes) -> tuple[bytes, bytes | None]:
    """The head of an answer without its cookie, and that; as it is where it has none or several."""
    begin = head.find(COOKIE)
    if begin < 0:
        return head, None
    end = head.find(b"\r\n", begin + 2)
    rest = head[:begin] if end < 0 else head[:begin] + head[end:]
    if COOKIE in rest:
        return head, None
    return rest, head[begin + len(COOKIE) : len(head) if end < 0 else end]


class JourneyParse(Parse):
    """An answer with all of its fields, and its body."""

    __slots__ = ("body", "fields", "got")

    def reset(self) -> None:
        super().reset()
        self.fields: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.got = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)  # what the connection asks for
        if not self.complete:
            self.fields.append((name.lower(), value))

    def on_body(self, piece: bytes) -> None:
        if not self.complete and self.got < MOST_BODY:
            self.body.append(piece)
            self.got += len(piece)


class JourneyUser(User):
    """A user, and the visitor that it is."""

    __slots__ = ("asked", "set_out", "visitor")

    def __init__(self, index: int, visitor: Visitor) -> None:
        super().__init__(index)
        self.visitor = visitor
        self.set_out = 0.0
        self.asked = Asked()
        # A connection needs of a route what Asked has.
        self.route = cast(KnownRoute, self.asked)


class JourneyConn(Conn):
    """A connection that hands over answers with their bodies."""

    __slots__ = ()

    parse_type = JourneyParse

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if not self.waiting:
            self._unasked()
            return
        if self.first == 0.0:
            if type(data) is not bytes:  # Proactor hands out a bytearray
                data = bytes(data)
            end = data.find(b"\r\n\r\n")
            known_by, cookie = without_cookie(data[:end])
            head = self.route.heads.get(known_by)
            if head is not None and head.size == len(data) - end and end > 0:
                self._take(now, now, cast(JourneyHead, head), cookie, data[end + 4 :])
                return
            self.first = now
        self._parse(data, now)

    def _parsed(self, data: bytes, now: float) -> None:
        parse, run, user = cast(JourneyParse, self.parse), self.run, self.user
        assert user is not None
        counted = self._counted(parse)
        if counted is None:
            self._failed("bad_response")
            return
        backend, place, times = counted
        end = data.find(b"\r\n\r\n")
        keep = parse.keep and not parse.extra and run.keepalive
        head = JourneyHead(keep, len(data) - end, times, parse, place)
        head.backend = backend
        whole = parse.length is not None and len(data) == end + 4 + parse.length
        cookies = [value for name, value in parse.fields if name == b"set-cookie"]
        known_by, cookie = without_cookie(data[:end])
        if cookies == ([] if cookie is None else [cookie]):
            # An equal answer with another cookie is known by the same head.
            head.fields = tuple(field for field in parse.fields if field[0] != b"set-cookie")
        else:
            whole, cookie = False, None  # several, or written in another way
        if whole and end > 0 and not (parse.chunked or parse.extra):
            heads = user.route.heads
            if len(heads) >= HEADS:
                heads.clear()
            heads[known_by] = head
        body = b"".join(parse.body)
        if parse.extra or not parse.keep:
            self.parse = None  # the parser takes no other answer after the last one
        else:
            parse.reset()
        first, self.first = self.first, 0.0
        self._take(now, first, head, cookie, body)

    def _take(
        self, now: float, first: float, head: JourneyHead, cookie: bytes | None, body: bytes
    ) -> None:
        """Count an answer as what the visitor makes of it, and go on."""
        run, user = cast(JourneyRun, self.run), cast(JourneyUser, self.user)
        tally = run.tally
        if now >= tally.second_end:
            tally.roll(now)
        tally.first_bytes.append(int((first - self.sent_at) * 1e6))
        totals = head.totals
        visitor = user.visitor
        fields = head.fields if cookie is None else (*head.fields, (b"set-cookie", cookie))
        unmet = visitor.take_in(Answer(head.status, fields, body))
        if unmet is not None:
            tally.passes.break_off(visitor.chosen, visitor.index, unmet)  # type: ignore[union-attr]
            times = tally.times_of(visitor.index, head.backend, UNEXPECTED, head.place, head.length)
            totals = times.totals
            run.over(user, now)
        elif visitor.arrived:
            tally.passes.complete[visitor.chosen] += 1  # type: ignore[union-attr]
            run.over(user, now)
        totals.append(int((now - user.start) * 1e6))
        tally.last = now
        user.backoff = 0.0
        self.waiting = False
        if not head.keep or self.ended:
            self.leave()
        run.finished(user, now, head.services)


class JourneyRun(ClosedRun):
    """Users of the closed model, each of which walks through one journey after the other."""

    def __init__(self, plan: Plan, job: dict[str, Any], loop: Loop) -> None:
        super().__init__(plan, job, loop)
        self.new_conn = JourneyConn
        self.heads: list[dict[bytes, Head]] = [{} for _ in plan.labels]

    def prepare(self, tag: str | None) -> None:
        self.journeys = Journeys(
            self.plan.journeys,
            f"{self.job['scheme']}://{self.job['host']}",
            tag,
            keepalive=self.plan.keepalive,
            seed=self.job["index"],
        )
        # What a head counts into is of one phase.
        self.heads = [{} for _ in self.plan.labels]
        for user in self.users:
            cast(JourneyUser, user).visitor = self._visitor(user.index)

    def start(self) -> None:
        self.passes = self.tally.passes = Passes(len(self.plan.journeys))
        super().start()
        self.steady = False

    def new_user(self) -> User:
        place = len(self.users)
        return JourneyUser(place, self._visitor(place))

    def _visitor(self, place: int) -> Visitor:
        # The workers' users take turns in the numbers of all, so that no row of data is dealt in
        # two of them.
        return Visitor(self.journeys, place * self.job["of"] + self.job["index"])

    def _next(self, user: User) -> None:
        visitor = cast(JourneyUser, user).visitor
        if visitor.on_the_way and self.remaining == 0 and perf_counter() < self.stop_at:
            user.pause = None
            self.walk_on(user)  # a count is of passes, and this one has begun
            return
        super()._next(user)

    def walk_on(self, user: User) -> None:
        """Send the next request of a pass, or wait for the turn to connect."""
        now = perf_counter()
        if self.connect_gap and user.conn is None and not self._may_connect(user, now):
            return
        self.begin(user, now, now)

    def begin(self, user: User, start: float, now: float) -> None:
        mine = cast(JourneyUser, user)
        tally, visitor, asked = self.tally, mine.visitor, mine.asked
        if now >= tally.second_end:
            tally.roll(now)
        if tally.first is None:
            tally.first = now
        if visitor.chosen < 0:
            self.remaining -= 1
            visitor.set_out()
            mine.set_out = start
            self.passes.begun[visitor.chosen] += 1
        asked.data = visitor.request()
        asked.index = visitor.index
        asked.heads = self.heads[visitor.index]
        tally.started += 1
        user.requests += 1
        user.turn = False
        user.start = start
        user.deadline = now + self.timeout
        conn = user.conn
        if conn is not None:
            conn.send(now)
        else:
            conn, user.spare = user.spare or self.new_conn(self, user), None
            conn.connect(user, now)

    def over(self, user: JourneyUser, now: float) -> None:
        """A pass came to its end, or broke off."""
        user.visitor.give_up()
        self.tally.sessions.append(int((now - user.set_out) * 1e6))

    def failed(self, user: User, outcome: str) -> None:
        mine = cast(JourneyUser, user)
        visitor = mine.visitor
        self.passes.break_off(visitor.chosen, visitor.index)
        now = perf_counter()
        if now >= self.tally.second_end:
            self.tally.roll(now)
        self.over(mine, now)
        super().failed(user, outcome)

    def finished(self, user: User, now: float, services: list[int]) -> None:
        user.deadline = math.inf
        visitor = cast(JourneyUser, user).visitor
        delay = 0.0 if visitor.following else visitor.pause(self.think)
        if user.backoff > delay:
            delay = user.backoff
        on_the_way = visitor.chosen >= 0
        if delay and (self.remaining != 0 or on_the_way):
            user.pause = self.loop.call_later(delay, self._next, user)
        elif on_the_way and user.conn is not None and now < self.stop_at and not self.ramping:
            self.begin(user, now, perf_counter())  # what _next comes to, for what must be cheap
        else:
            self._next(user)

    def look(self, now: float) -> None:
        if self.remaining != 0 or now >= self.stop_at:
            super().look(now)
            return
        # No pass is left to be begun. Who is on the way goes on, after its pause.
        for user in self.users:
            if user.pause is not None and not cast(JourneyUser, user).visitor.on_the_way:
                user.pause.cancel()
                self._next(user)

    def _retire(self, user: User, *, ended: bool) -> None:
        cast(JourneyUser, user).visitor.give_up()
        super()._retire(user, ended=ended)

    def count_session(self, user: User) -> None:
        return  # a session is a pass here, and is counted at its end
