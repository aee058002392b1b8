"""The article's first question, with numbers: does a slow request block a fast one?

A probe sends slow requests and, while they are in flight, fast ones; a capacity is how many slow
requests run at the same time. Both keep what each request met: when, and who served it.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pytest_winserve.errors import ProbeError
from pytest_winserve.probe.verdicts import Capacity, Exchange, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.ports import Address
from pytest_winserve.tags import BACKEND_HEADER, PROCESS_HEADER, REQUEST_HEADER

FAST_PER_BACKEND = 2
SHORTEST_SLOW = 0.2
TIMEOUT = 120.0
SETTLE_SECONDS = 0.25
"""Slow requests that did not start within this time of the last one that did are queued."""
SAME_MOMENT = 0.05
"""Share of the slow request's time within which two answers count as given at the same moment:
the threads that receive them may be woken in either order."""
GAP, SPREAD = 0.02, 0.2
"""Seconds between two slow requests of a capacity, and between the first and the last: they shall
run together, but not arrive together. A burst shows the length of the listen queue instead."""
ROUNDS = 12
"""How often a capacity asks at most: each time for four times as many."""
FIRST_WAVE = 1.5
"""Without counters: slow requests that took up to this many times the shortest ran at once."""


@dataclass(frozen=True, slots=True)
class Counting:
    """What the site can say about requests of a tag: those in flight now, and the peaks per
    backend. Both give None where the server cannot be made to count."""

    in_flight: Callable[[str], int | None]
    peaks: Callable[[str], tuple[int, ...] | None]


def probe(
    address: Address,
    slow: str,
    fast: str,
    sleepers: int,
    backends: int,
    tags: tuple[str, str],
    counting: Counting,
) -> Verdict:
    """Send `sleepers` slow requests and, while they are in flight, two fast ones per backend.

    `tags` mark the slow and the fast requests. Raises ProbeError when the paths cannot show
    anything: an error status, or a slow path that is not slow.
    """
    with ThreadPoolExecutor(sleepers) as pool:
        sent = threading.Barrier(sleepers + 1)
        slow_ones = [pool.submit(_exchange, address, slow, tags[0], sent) for _ in range(sleepers)]
        sent.wait()
        _wait_until_running(sleepers, lambda: counting.in_flight(tags[0]))
        early = next((one.result() for one in slow_ones if one.done()), None)
        if early is not None:
            _judge_slow([early])
            raise ProbeError(f"the slow path {slow} answered before a fast request could be sent")
        fast_answers = _all_at_once(address, fast, tags[1], backends * FAST_PER_BACKEND)
        slow_answers = [one.result() for one in slow_ones]
    _judge_slow(slow_answers)
    for answer in fast_answers:
        if answer.status is not None and 400 <= answer.status < 500:
            raise ProbeError(
                f"the fast path {fast} answered {answer.status}: a path that works is needed"
            )
    first = min(slow_answers, key=lambda answer: answer.ended)
    moment = first.ended - SAME_MOMENT * first.seconds
    blocked = [answer for answer in fast_answers if not answer.good or answer.ended > moment]
    return Verdict(tuple(slow_answers), tuple(fast_answers), tuple(blocked))


def capacity(
    address: Address,
    slow: str,
    limit: int,
    backends: int,
    declared: Concurrency,
    next_tag: Callable[[], str],
    counting: Counting,
) -> Capacity:
    """How many slow requests run at once, up to `limit`.

    Asks for one more per backend than is declared, or for 4, 16, 64 ... where no bound is known,
    and for more as long as all that were sent ran at once. Raises ProbeError as `probe` does.
    """
    wanted = min(limit, declared + backends if isinstance(declared, int) else 4 * backends)
    while True:
        tag = next_tag()
        answers = _all_at_once(address, slow, tag, wanted, gap=min(GAP, SPREAD / wanted))
        good = [answer for answer in answers if answer.good]
        if not good:
            _judge_slow(answers)
        _judge_slow(good)
        peaks = counting.peaks(tag)
        if peaks is not None:
            value = sum(peaks)
        else:
            shortest = min(answer.seconds for answer in good)
            value = sum(answer.seconds < FIRST_WAVE * shortest for answer in good)
        if value < wanted or wanted == limit:
            return Capacity(value, value >= limit, limit, declared, peaks)
        wanted = min(limit, 4 * wanted)


def _judge_slow(answers: Sequence[Exchange]) -> None:
    for answer in answers:
        if not answer.good:
            said = answer.error or f"answered {answer.status}"
            raise ProbeError(
                f"the slow path {answer.path}: {said}; nothing can be concluded from it"
            )
        if answer.seconds < SHORTEST_SLOW:
            raise ProbeError(
                f"the slow path {answer.path} answered after {answer.seconds * 1000:.0f} ms: "
                f"a path that takes about a second is needed"
            )


def _wait_until_running(wanted: int, in_flight: Callable[[], int | None]) -> None:
    """Return when `wanted` requests run, or when no further one starts to."""
    running = -1
    changed = time.perf_counter()
    while time.perf_counter() - changed < SETTLE_SECONDS:
        now = in_flight()
        if now == wanted:
            return
        if now is not None and now != running:
            running, changed = now, time.perf_counter()
        time.sleep(0.005)


def _all_at_once(
    address: Address, path: str, tag: str, count: int, gap: float = 0.0
) -> list[Exchange]:
    """Send `count` requests, each `gap` seconds after the one before."""
    with ThreadPoolExecutor(count) as pool:
        together = threading.Barrier(count)
        return list(
            pool.map(lambda n: _exchange(address, path, tag, together, n * gap), range(count))
        )


def _exchange(
    address: Address, path: str, tag: str, together: threading.Barrier, wait: float = 0.0
) -> Exchange:
    """Send one request on a connection of its own, `wait` seconds after all the others are ready
    to as well."""
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    together.wait(TIMEOUT)
    time.sleep(wait)
    started = time.perf_counter()
    try:
        connection.request("GET", path, headers={REQUEST_HEADER: tag, "Connection": "close"})
        response = connection.getresponse()
        response.read()
        ended = time.perf_counter()
    except (OSError, http.client.HTTPException) as error:
        what = str(error) or type(error).__name__
        return Exchange(path, started, time.perf_counter(), None, what, None, None, None)
    finally:
        connection.close()
    _, _, index = (response.getheader(BACKEND_HEADER) or "").partition(".")
    pid, _, thread = (response.getheader(PROCESS_HEADER) or "").partition(".")
    return Exchange(
        path, started, ended, response.status, None, _int(index), _int(pid), _int(thread)
    )


def _int(text: str) -> int | None:
    return int(text) if text else None
