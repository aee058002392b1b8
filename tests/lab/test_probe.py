"""A probe tells how long fast requests waited; a start, a probe and a capacity have an end."""

from __future__ import annotations

import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import ProbeError, StartError
from pytest_winserve.probe import probe
from pytest_winserve.probe.verdicts import Capacity, SlowRequest
from pytest_winserve.system import exchange
from tests.kit.components import needs
from tests.kit.traces import Serve

pytestmark = needs("minutes")

APP = "apps.slow_ways:app"
WAYS = ("/sleep?1", "/compute?2", "/stream?1")


@pytest.mark.parametrize(
    ("topology", "blocked"),
    [
        ("flask", 0.0),
        ("tornado", 1.0),
        ("waitress", 0.0),
        ("waitress:threads=1", 1.0),
        ("nginx4-tornado", 0.25),
        ("nginx2-waitress", 0.0),
    ],
)
def test_the_verdict_is_the_servers_however_the_slow_path_is_slow(
    serve: Serve, topology: str, blocked: float
) -> None:
    with serve(topology, APP, fast="/", slow=WAYS[0]) as site:
        for way in WAYS:
            verdict = site.probe(slow=way)
            assert (way, verdict.blocked_fraction) == (way, blocked), verdict.summary()
            assert verdict.non_blocking == (blocked == 0)
            assert len(verdict.idle) == len(verdict.fast) == len(verdict.wait_seconds)
            assert all(each.good for each in verdict.idle)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["gevent"])
def test_gevent_waits_for_what_computes(serve: Serve, topology: str) -> None:
    with serve(topology, APP, fast="/", slow=WAYS[0]) as site:
        assert site.probe(slow="/compute?1").blocked_fraction == 1


def test_between_the_parts_of_a_stream_requests_are_delayed(serve: Serve) -> None:
    """Tornado runs one request at a time, but others between two parts of an answer."""
    with serve("tornado", APP, fast="/", slow="/stream?1") as site:
        verdict = site.probe()
    assert verdict.delayed_fraction == verdict.blocked_fraction == 1
    assert min(verdict.wait_seconds) > 0.2
    assert not verdict.non_blocking


@pytest.mark.parametrize("topology", ["waitress", "nginx2"])
def test_a_path_that_does_not_end_is_named(
    serve: Serve, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", 1.0)
    slow = r"the slow path /events\?0.1 does not end: name another path with --slow"
    with serve(topology, APP, fast="/", slow="/events?0.1") as site:
        with pytest.raises(ProbeError, match=slow):
            site.probe()
        with pytest.raises(ProbeError, match=slow):
            site.capacity(limit=4)
        with pytest.raises(
            ProbeError, match=r"the fast path /events\?0.1 does not end: name another path with --f"
        ):
            site.probe(slow="/sleep?1", fast="/events?0.1")
    with pytest.raises(StartError, match=r"GET /events\?0, does not end: name another path with -"):
        serve(topology, APP, fast="/events?0")


def test_a_path_that_is_not_answered_is_named(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tornado begins to answer when the app has ended."""
    monkeypatch.setattr(probe, "TIMEOUT", 1.0)
    with serve("tornado", APP, fast="/", slow="/events?0.1") as site:
        with pytest.raises(ProbeError, match=r"slow path .* in 1 s: name another path with --slow"):
            site.probe()
        with pytest.raises(ProbeError, match=r"fast path .* in 1 s: name another path with --fast"):
            site.probe(fast="/events?0.1")


def test_a_fast_path_that_is_broken_is_refused_before_anything_slow_is_sent(lab: Lab) -> None:
    with lab.serve("flask") as site:
        for status in (404, 500):
            fast = f"/misbehave?status={status}"
            with pytest.raises(ProbeError, match=rf"the fast path .* answered {status}"):
                site.probe(fast=fast)
        with pytest.raises(ProbeError, match=r"the fast path .*closed connection"):
            site.probe(fast="/misbehave?size=9&declare=99")


def counted_capacity(lab: Lab, declared: int | None, counts: list[int]) -> Capacity:
    """A capacity whose backends count what is given here, wave by wave; all of it is asked for."""
    given, tags = iter(counts), iter("abcdefgh")
    with lab.serve("flask") as site:
        found = probe.capacity(
            site.deployment.address,
            SlowRequest("/sleep?seconds=0.25"),
            64,
            1,
            declared,
            lambda: next(tags),
            probe.Counting(lambda tag: None, lambda tag: (next(given),)),
            lambda: None,
            {},
        )
    assert list(given) == []
    return found


def test_a_wave_that_was_over_before_its_last_began_is_sent_again(lab: Lab) -> None:
    """On a busy machine the first wave of four, and the second of sixteen, are short of one."""
    found = counted_capacity(lab, None, [3, 4, 15, 16, 64])
    assert (found.value, found.at_least) == (64, True)


@pytest.mark.parametrize(
    ("declared", "counts", "value"),
    [
        (4, [3, 2, 3], 3),  # it does run fewer: the most of three counts
        (4, [3, 4], 4),
        (4, [5, 7], 7),  # more than it declares
        (None, [4, 9, 8, 10], 10),
    ],
)
def test_the_most_of_several_waves_counts(
    lab: Lab, declared: int | None, counts: list[int], value: int
) -> None:
    assert counted_capacity(lab, declared, counts).value == value
