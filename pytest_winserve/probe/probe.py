"""The article's first question, with numbers: does a slow request block a fast one?

A probe sends slow requests and, while they are in flight, fast ones; a capacity is how many slow
requests run at the same time. Both keep what each request met: when, and who served it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_winserve.errors import ProbeError
from pytest_winserve.probe.verdicts import Capacity, Exchange, SlowRequest, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.exchange import Exchanges, Get, Headers
from pytest_winserve.system.ports import Address
from pytest_winserve.system.program import Deadline
from pytest_winserve.system.trust import Trust
from pytest_winserve.tags import (
    BACKEND_HEADER,
    HOLD_HEADER,
    PROCESS_HEADER,
    REQUEST_HEADER,
    SHORTEST_HOLD,
)

FAST_PER_BACKEND = 2
IDLE_TRIES = 2
"""How often the fast requests are sent before the slow ones; the quicker time counts, because the
first may find an app that still has things to load."""
TIMEOUT = 120.0
SETTLE_SECONDS = 0.25
"""Slow requests that did not start within this time of the last one that did are queued."""
GAP, SPREAD = 0.02, 0.2
"""Seconds between two slow requests of a capacity, and between the first and the last: they shall
run together, but not arrive together. A burst shows the length of the listen queue instead."""
AGAIN = 2
"""How often a capacity asks for as many again when fewer ran at once than are declared: on a busy
machine the first may be over before the last begins. The most counts."""
ROUNDS = 12 + AGAIN
"""How often a capacity asks at most: each time for four times as many, but for those again."""
FIRST_WAVE = 1.5
"""Without counters: slow requests that took up to this many times the shortest ran at once."""

Look = Callable[[], None]
"""Called while requests are under way; what it raises ends them."""


@dataclass(frozen=True, slots=True)
class Counting:
    """What the site can say about requests of a tag: those in flight now, and the peaks per
    backend. Both give None where the server cannot be made to count."""

    in_flight: Callable[[str], int | None]
    peaks: Callable[[str], tuple[int, ...] | None]


def probe(
    address: Address,
    slow: SlowRequest,
    fast: str,
    sleepers: int,
    backends: int,
    tags: tuple[str, str],
    counting: Counting,
    look: Look,
    headers: Headers,
    trust: Trust | None = None,
) -> Verdict:
    """Send `sleepers` slow requests and, while they are in flight, two fast ones per backend.

    The same fast ones are sent before, to a site that does nothing else. `tags` mark the slow and
    the fast requests, and all of them carry `headers`. Raises ProbeError when the paths cannot show
    anything: an error status, an answer that does not end, or a slow path that is not slow.
    """
    __tracebackhide__ = True
    count = backends * FAST_PER_BACKEND
    with Exchanges(address, look, headers, trust) as exchanges:
        idle = _idle(exchanges, fast, tags[1], count)
        slow_ones = [_get(exchanges, slow.path, tags[0], slow.hold) for _ in range(sleepers)]
        _wait_until_running(exchanges, sleepers, lambda: counting.in_flight(tags[0]))
        early = [one for one in slow_ones if one.ended is not None]
        if early:
            _judge_slow(early, slow)
            raise ProbeError(
                f"the slow path {slow.name} answered before a fast request could be sent"
            )
        fast_ones = [_get(exchanges, fast, tags[1]) for _ in range(count)]
        exchanges.finish()
    _judge_slow(slow_ones, slow)
    for one in fast_ones:
        if one.answer is not None and 400 <= one.answer.status < 500:
            _refuse_fast(one)
    return Verdict.of(_told(slow_ones, slow.name), _told(fast_ones, fast), _told(idle, fast))


def capacity(
    address: Address,
    slow: SlowRequest,
    limit: int,
    backends: int,
    declared: Concurrency,
    next_tag: Callable[[], str],
    counting: Counting,
    look: Look,
    headers: Headers,
    trust: Trust | None = None,
) -> Capacity:
    """How many slow requests run at once, up to `limit`.

    Asks for one more per backend than is declared, or for 4, 16, 64 ... where no bound is known,
    and for more as long as all that were sent ran at once. Raises ProbeError as `probe` does.
    """
    __tracebackhide__ = True
    wanted = min(limit, declared + backends if isinstance(declared, int) else 4 * backends)
    best = Capacity(0, False, limit, declared, None)
    again = AGAIN
    while True:
        tag = next_tag()
        with Exchanges(address, look, headers, trust) as exchanges:
            answers = _one_after_another(exchanges, slow, tag, wanted)
        good = [answer for answer in answers if _good(answer)]
        _judge_slow([answer for answer in answers if answer.endless] or good or answers, slow)
        peaks = counting.peaks(tag)
        if peaks is not None:
            value = sum(peaks)
        else:
            shortest = min(map(_seconds, good))
            value = sum(_seconds(answer) < FIRST_WAVE * shortest for answer in good)
        if value > best.value:
            best = Capacity(value, value >= limit, limit, declared, peaks)
        too_few = not isinstance(declared, int) or best.value < declared
        if value >= wanted and wanted < limit:
            wanted = min(limit, 4 * wanted)
        elif again and too_few and best.as_declared is False:
            again -= 1
        else:
            return best


def _idle(exchanges: Exchanges, fast: str, tag: str, count: int) -> list[Get]:
    """The fast requests of a probe while nothing else is asked; of several tries the quickest."""
    __tracebackhide__ = True
    tries = []
    for _ in range(IDLE_TRIES):
        asked = [_get(exchanges, fast, tag) for _ in range(count)]
        exchanges.finish()
        for one in asked:
            if not _good(one):
                _refuse_fast(one)
        tries.append(asked)
    return min(tries, key=_longest)


def _one_after_another(exchanges: Exchanges, slow: SlowRequest, tag: str, count: int) -> list[Get]:
    """`count` requests that are under way together, each begun a moment after the one before."""
    gap = min(GAP, SPREAD / count)
    asked = []
    for _ in range(count):
        asked.append(_get(exchanges, slow.path, tag, slow.hold))
        exchanges.go_on_until(asked[-1].started + gap)
    exchanges.finish()
    return asked


def _judge_slow(answers: Sequence[Get], slow: SlowRequest) -> None:
    __tracebackhide__ = True
    for answer in answers:
        if answer.endless:
            raise ProbeError(f"the slow path {slow.name} {answer.without(slow.option)}")
        if answer.late:
            raise ProbeError(f"the slow path {slow.name} {_late(answer)} {slow.option}")
        if not _good(answer):
            raise ProbeError(
                f"the slow path {slow.name}: {_what_came(answer)}; nothing can be concluded from it"
            )
        if _seconds(answer) < SHORTEST_HOLD:
            raise ProbeError(
                f"the slow path {slow.name} answered after {_seconds(answer) * 1000:.0f} ms: "
                f"a path that takes about a second is needed{slow.otherwise}"
            )


def _refuse_fast(answer: Get) -> None:
    __tracebackhide__ = True
    if answer.endless:
        raise ProbeError(f"the fast path {answer.path} {answer.without('--fast')}")
    if answer.late:
        raise ProbeError(f"the fast path {answer.path} {_late(answer)} --fast")
    raise ProbeError(
        f"the fast path {answer.path} {_what_came(answer)}: a path that works is needed"
    )


def _late(answer: Get) -> str:
    return f"was not answered in {_seconds(answer):.0f} s: name another path with"


def _wait_until_running(
    exchanges: Exchanges, wanted: int, in_flight: Callable[[], int | None]
) -> None:
    """Return when `wanted` requests run, or when no further one starts to."""
    running = -1
    changed = time.perf_counter()
    while time.perf_counter() - changed < SETTLE_SECONDS:
        now = in_flight()
        if now == wanted:
            return
        if now is not None and now != running:
            running, changed = now, time.perf_counter()
        exchanges.go_on(0.005)


def _get(exchanges: Exchanges, path: str, tag: str, hold: float = 0.0) -> Get:
    headers = {REQUEST_HEADER: tag, "Connection": "close"}
    if hold:
        headers[HOLD_HEADER] = f"{hold:g}"
    return exchanges.get(path, headers, Deadline.after(TIMEOUT))


def _seconds(answer: Get) -> float:
    assert answer.ended is not None
    return answer.ended - answer.started


def _longest(answers: Sequence[Get]) -> float:
    return max(map(_seconds, answers))


def _good(answer: Get) -> bool:
    return _as_exchange(answer, answer.path).good


def _what_came(answer: Get) -> str:
    """`answered 404`, or why there was no answer."""
    if answer.error is not None or answer.answer is None:
        return answer.error or "no answer"
    return f"answered {answer.answer.status}"


def _told(answers: Sequence[Get], name: str) -> tuple[Exchange, ...]:
    return tuple(_as_exchange(answer, name) for answer in answers)


def _as_exchange(answer: Get, name: str) -> Exchange:
    """What is kept of a request by that name: when it was answered, and by whom."""
    assert answer.ended is not None
    times = name, answer.started, answer.ended
    if answer.error is not None or answer.answer is None:
        return Exchange(*times, None, answer.error, None, None, None)
    headers = answer.answer.headers
    _, _, index = headers.get(BACKEND_HEADER.lower(), "").partition(".")
    pid, _, thread = headers.get(PROCESS_HEADER.lower(), "").partition(".")
    return Exchange(*times, answer.answer.status, None, _int(index), _int(pid), _int(thread))


def _int(text: str) -> int | None:
    return int(text) if text else None
