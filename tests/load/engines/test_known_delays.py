"""Percentiles against a server whose delays are known, between bounds that it measures itself.

With one user the server's clock (the same on one machine) encloses every request: the client began
after the answer before was being sent, and it had its answer before it sent the next request. So
the bounds hold however busy the machine is.
"""

from __future__ import annotations

import math
import random
import time
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.measures.histogram import RELATIVE_ERROR
from pytest_winserve.load.plan import Plan

if TYPE_CHECKING:
    from tests.kit.raw_server import Connection, MakeServer

COUNT = 200
CHANCE = random.Random(7)
DELAYS = [CHANCE.lognormvariate(math.log(0.004), 0.7) for _ in range(COUNT)]
MICROSECOND = 1e-6  # times are cut to whole ones


def rank(values: list[float], q: float) -> float:
    """The q-th percentile as the histogram defines it, of raw samples."""
    return sorted(values)[math.ceil(q / 100 * len(values)) - 1]


@pytest.mark.parametrize("keepalive", [True, False])
def test_percentiles_of_known_delays(raw_server: MakeServer, keepalive: bool) -> None:
    reads: list[float] = []
    sends: list[float] = []

    def slow(connection: Connection) -> bool:
        reads.append(perf_counter())
        time.sleep(DELAYS[len(sends)])
        sends.append(perf_counter())
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return keepalive

    before = perf_counter()
    plan = Plan.make(users=1, count=COUNT, keepalive=keepalive)
    result = BuiltinEngine(1).run(plan, Target(raw_server(slow).url))
    after = perf_counter()
    assert result.outcomes == {"200": COUNT}
    shortest = [send - read for read, send in zip(reads, sends, strict=True)]
    longest = [
        end - begin for begin, end in zip([before, *sends[:-1]], [*reads[1:], after], strict=True)
    ]
    for q in (10, 25, 50, 75, 90, 95):
        found = result.percentile(q)
        assert found is not None
        assert found >= rank(DELAYS, q) - MICROSECOND
        assert found >= rank(shortest, q) - MICROSECOND
        assert found <= rank(longest, q) * (1 + RELATIVE_ERROR)
    assert result.total.mean is not None
    assert sum(shortest) / COUNT - MICROSECOND <= result.total.mean <= sum(longest) / COUNT
