"""When a fast request was blocked, when it was delayed, and what a verdict says of it."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import CriterionFailed
from pytest_winserve.probe.verdicts import Exchange, Verdict


def exchange(
    path: str, seconds: float, started: float = 100.0, status: int | None = 200
) -> Exchange:
    error = "reset" if status is None else None
    return Exchange(path, started, started + seconds, status, error, 0, 4711, 140)


def verdict(
    *fast: float, slow: float = 1.0, idle: float = 0.002, status: int | None = 200
) -> Verdict:
    """Of fast requests that took so many seconds, sent a moment after the slow one."""
    return Verdict.of(
        (exchange("/export", slow),),
        tuple(exchange("/", seconds, 100.01, status) for seconds in fast),
        (exchange("/", idle, 99.0), exchange("/", idle / 2, 99.0)),
    )


@pytest.mark.parametrize(
    ("slow", "idle", "fast", "blocked", "delayed"),
    [
        (1.0, 0.002, 0.004, 0, 0),
        (1.0, 0.002, 0.2, 0, 0),  # a fifth of the slow one
        (1.0, 0.002, 0.21, 1, 1),
        (1.0, 0.002, 0.9, 1, 1),
        (1.0, 0.002, 0.98, 1, 0),  # answered in the same moment
        (1.0, 0.002, 1.1, 1, 0),
        # 100 ms are more than a fifth of a slow one that takes 0.4 s.
        (0.4, 0.002, 0.1, 0, 0),
        (0.4, 0.002, 0.12, 1, 1),
        # Its own idle time is no wait.
        (1.0, 0.3, 0.45, 0, 0),
        (1.0, 0.3, 0.55, 1, 1),
        (10.0, 0.002, 1.5, 0, 0),
        (10.0, 0.002, 2.5, 1, 1),
    ],
)
def test_a_wait_of_more_than_a_fifth_is_a_delay(
    slow: float, idle: float, fast: float, blocked: int, delayed: int
) -> None:
    found = verdict(fast, 0.001, slow=slow, idle=idle)
    assert (len(found.blocked), len(found.delayed)) == (blocked, delayed)
    assert found.non_blocking == (blocked == 0)
    assert (found.blocked_fraction, found.delayed_fraction) == (blocked / 2, delayed / 2)
    assert found.wait_seconds == pytest.approx((max(0.0, fast - idle), 0.0))


def test_of_several_slow_requests_the_shortest_counts() -> None:
    slow = (exchange("/export", 1.0), exchange("/export", 9.0))
    found = Verdict.of(slow, (exchange("/", 0.4, 100.01),), (exchange("/", 0.002, 99.0),))
    assert found.delayed_fraction == 1


@pytest.mark.parametrize("status", [None, 500, 503])
def test_what_was_not_answered_well_is_blocked_and_not_delayed(status: int | None) -> None:
    found = verdict(0.004, 0.5, status=status)
    assert (found.blocked_fraction, found.delayed_fraction) == (1, 0)


def test_a_delay_breaks_the_criterion_and_is_told_with_its_wait() -> None:
    found = verdict(0.606, 0.002)
    with pytest.raises(CriterionFailed, match="non_blocking == true: measured false") as caught:
        found.require("non_blocking")
    text = str(caught.value)
    assert (
        "BLOCKS: 1 of 2 fast requests waited (50%), / during /export; 0.002 s at most when idle"
        in text
    )
    assert "answered 200 after 0.606 s (backend 0)" in text
    assert verdict(0.004).summary() == (
        "does not block: all 1 answered, / during /export; 0.002 s at most when idle"
    )


def test_the_figures_are_in_what_is_written() -> None:
    data = verdict(0.602, 0.001).to_dict()
    assert data["idle_seconds"] == pytest.approx([0.002, 0.001])
    assert data["wait_seconds"] == pytest.approx([0.6, 0.0])
    assert (data["blocked_fraction"], data["delayed_fraction"]) == (0.5, 0.5)
    assert [request["blocked"] for request in data["fast_requests"]] == [True, False]


def test_without_an_idle_time_no_wait_is_known() -> None:
    fast = (exchange("/", 0.9),)
    old = Verdict((exchange("/export", 1.0),), fast, ())
    assert old.non_blocking
    assert (old.idle_seconds, old.wait_seconds, old.delayed_fraction) == ((), (), 0)
    assert "idle" not in old.summary()
