"""The ledger's arithmetic: what adds up is silent, and each thing that does not is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.results.ledger import (
    MAYBE_SERVED,
    BackendCounts,
    FrontCounts,
    Ledger,
    Side,
    reconcile,
)

NEVER_SERVED = ("refused", "connect_timeout", "client_limit")


@dataclass(frozen=True, slots=True)
class Books:
    """What every side would have written down, and so the arguments of `reconcile`."""

    outcomes: dict[str, int]
    own: int
    front: FrontCounts | None
    backends: tuple[BackendCounts, ...]

    @property
    def sent(self) -> int:
        return sum(self.outcomes.values())

    def ledger(self, *, sent: int | None = None, unlogged: int = 0) -> Ledger:
        return reconcile(
            self.outcomes,
            self.sent if sent is None else sent,
            self.own,
            self.front,
            self.backends,
            unlogged=unlogged,
        )


def address(index: int) -> str:
    return f"127.0.0.1:{20_000 + index}"


def booked(started: Counter[int], backends: int) -> tuple[BackendCounts, ...]:
    return tuple(
        BackendCounts(index, address(index), started[index], 0, min(1, started[index]))
        for index in range(backends)
    )


SERVED = ("answered", *MAYBE_SERVED)
"""What became of a request that reached the app, as the client sees it."""


@st.composite
def _books(draw: st.DrawFn, with_front: bool) -> Books:
    """The books of a load that went as the requests below say, one after the other."""
    backends = draw(st.integers(1, 4))
    outcomes: Counter[str] = Counter()
    started: Counter[int] = Counter()
    statuses: Counter[int] = Counter()
    answered: Counter[str] = Counter()
    unanswered: Counter[str] = Counter()
    own = 0
    index = st.integers(0, backends - 1)
    for _ in range(draw(st.integers(0, 30))):
        what = draw(st.sampled_from((*SERVED, *NEVER_SERVED, "lost on the way", "bad gateway")))
        if what in NEVER_SERVED:
            outcomes[what] += 1
        elif what == "lost on the way":
            outcomes[draw(st.sampled_from(MAYBE_SERVED))] += 1
        elif what == "bad gateway" and with_front:
            # Each try failed; the backend may have started the request before.
            for _ in range(draw(st.integers(1, 2))):
                tried = draw(index)
                unanswered[address(tried)] += 1
                started[tried] += draw(st.integers(0, 1))
            statuses[502] += 1
            outcomes["502"] += 1
        elif what == "bad gateway":
            outcomes["400"] += 1  # the server's own answer: its app never ran, no mark
        else:
            served = draw(index) if with_front else 0
            started[served] += 1
            status = draw(st.sampled_from((200, 302, 404, 500)))
            if what == "answered":
                outcomes[str(status)] += 1
                own += 1
            else:
                outcomes[what] += 1
            if with_front:
                statuses[status if what == "answered" else 499] += 1
                side = answered if what == "answered" or draw(st.booleans()) else unanswered
                side[address(served)] += 1
    front = FrontCounts(statuses, answered, unanswered) if with_front else None
    return Books(dict(outcomes), own, front, booked(started, backends if with_front else 1))


@given(st.booleans().flatmap(lambda front: _books(with_front=front)))
def test_any_load_whose_books_are_kept_adds_up(books: Books) -> None:
    ledger = books.ledger()
    assert ledger.unaccounted == 0, ledger.lines()
    assert ledger.sent == ledger.answered + ledger.failed
    assert not any("unaccounted" in line for line in ledger.lines())
    assert Ledger.from_dict(ledger.to_dict()) == ledger


@given(st.booleans().flatmap(lambda front: _books(with_front=front)), st.integers(1, 5))
def test_requests_without_an_outcome_are_found(books: Books, missing: int) -> None:
    assert books.ledger(sent=books.sent + missing).unaccounted == missing


LOGGED = FrontCounts(
    {200: 90, 500: 10, 499: 2},
    {address(0): 50, address(1): 50},
    {address(0): 1, address(1): 1},
)
SOUND = Books(
    outcomes={"200": 90, "500": 10, "refused": 3, "timeout": 2},
    own=100,
    front=LOGGED,
    backends=(BackendCounts(0, address(0), 51, 0, 4), BackendCounts(1, address(1), 50, 0, 4)),
)


def test_the_sound_books_add_up() -> None:
    ledger = SOUND.ledger()
    assert ledger.unaccounted == 0
    assert ledger.sides == (
        Side("front's log", 102, 100, 102),
        Side("backend 0", 51, 50, 51 + 2 - 2),
        Side("backend 1", 50, 50, 51),
    )


def backend(index: int, started: int) -> tuple[BackendCounts, ...]:
    changed = replace(SOUND.backends[index], started=started)
    return tuple(changed if each.index == index else each for each in SOUND.backends)


@pytest.mark.parametrize(
    ("books", "side", "unaccounted"),
    [
        # The front logged fewer than were answered, or more than were sent.
        (replace(SOUND, front=replace(LOGGED, statuses={200: 99})), "front's log", 1),
        (replace(SOUND, front=replace(LOGGED, statuses={200: 103})), "front's log", 1),
        # The front had answers of a backend that it never gave, and the reverse.
        (replace(SOUND, backends=backend(0, 49)), "backend 0", 1),
        (replace(SOUND, backends=backend(1, 54)), "backend 1", 3),
        (replace(SOUND, backends=backend(1, 0)), "backend 1", 50),
        # Requests of one backend booked on the other.
        (replace(SOUND, backends=backend(0, 0)), "backend 0", 50),
        # Without a front: the app ran less often than it answered, more often than was sent.
        (replace(SOUND, front=None, backends=backend(0, 49)), "backends", 1),
        (replace(SOUND, front=None, backends=backend(0, 53)), "backends", 1),
    ],
)
def test_each_single_inconsistency_is_found(books: Books, side: str, unaccounted: int) -> None:
    ledger = books.ledger()
    assert ledger.unaccounted == unaccounted
    assert [each.name for each in ledger.sides if each.unaccounted] == [side]
    assert any(
        line.startswith(side) and line.endswith(f"; {unaccounted} unaccounted")
        for line in ledger.lines()
    )


@given(_books(with_front=True), st.data())
def test_a_side_that_saw_too_little_or_too_much_is_found(books: Books, data: st.DataObject) -> None:
    sides = books.ledger().sides
    place = data.draw(st.integers(1, len(sides) - 1))
    side = sides[place]
    off = data.draw(st.integers(1, 3))
    seen = data.draw(st.sampled_from([side.high + off, side.low - off]))
    broken = replace(books.backends[place - 1], started=seen)
    backends = tuple(broken if each.index == broken.index else each for each in books.backends)
    assert replace(books, backends=backends).ledger().unaccounted == off


def test_a_front_that_died_may_owe_one_line_of_its_log() -> None:
    books = replace(SOUND, front=replace(LOGGED, statuses={200: 99}))
    assert books.ledger(unlogged=1).unaccounted == 0
    worse = replace(SOUND, front=replace(LOGGED, statuses={200: 98}))
    assert worse.ledger(unlogged=1).unaccounted == 1


def test_only_the_client_counted_is_not_measured() -> None:
    ledger = reconcile({"200": 5}, 5, 0, None, [])
    assert ledger.unaccounted is None
    assert ledger.lines()[-1] == "server side: not measured"
    # What is missing at the client is missing whoever else counted.
    assert reconcile({"200": 5}, 6, 0, None, []).unaccounted == 1


def test_answers_that_the_server_gave_without_its_app_need_no_run_of_it() -> None:
    ran = [BackendCounts(0, address(0), 7, 3, 1)]
    assert reconcile({"200": 4, "500": 6}, 10, 4, None, ran).unaccounted == 0


def test_notes_stand_at_the_end() -> None:
    ledger = reconcile({"200": 1}, 1, 1, None, SOUND.backends[:0], ["something died"])
    assert ledger.lines()[-1] == "something died"
    assert Ledger.from_dict(ledger.to_dict()) == ledger
