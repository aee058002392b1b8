"""The law of conservation: whatever goes wrong, every request sent has one outcome, and the ledger
explains what front and backends saw."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pytest_winserve import Request, Site
from pytest_winserve.errors import StopError
from pytest_winserve.load.results.result import Result
from tests.kit.components import needs
from tests.kit.traces import Serve

pytestmark = [needs("minutes"), pytest.mark.usefixtures("traces")]

TOPOLOGIES = (
    "flask",
    "flask:threaded=false",
    "waitress",
    "tornado",
    "nginx2-flask",
    "nginx2-waitress:front.max_fails=0",
    "nginx2-waitress:front.retry=no",
)
GOOD = "/test"
FAULTS = (
    "/misbehave?status=503",
    "/misbehave?status=404&size=3000&chunks=3",
    "/misbehave?delay=0.05",
    "/misbehave?reset=headers",
    "/misbehave?reset=body&size=3000",
    "/misbehave?declare=10&size=4",
    "/misbehave?declare=4&size=10",
    "/misbehave?declare=200000&size=0",
    "/misbehave?hang=headers",
    "/misbehave?hang=body&size=3000",
    "/misbehave?crash=3",
)

requests = st.lists(
    st.builds(
        lambda path, weight, post: Request(
            path, "POST" if post and path != GOOD else "GET", weight=weight
        ),
        st.sampled_from((GOOD, *FAULTS)),
        st.sampled_from((1.0, 5.0)),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)
plans = st.one_of(
    st.fixed_dictionaries({"users": st.integers(1, 6), "count": st.integers(1, 40)}),
    st.fixed_dictionaries({"users": st.integers(1, 6), "duration": st.just(0.3)}),
    st.fixed_dictionaries(
        {"rate": st.just(100), "users": st.integers(1, 8), "count": st.integers(1, 30)}
    ),
    st.just({"stages": [(0.2, 4), (0.1, 0)], "think_time": 0.01}),
)


class Sites:
    """A site per topology, taken down when something of it died or still runs."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._open: dict[str, ExitStack] = {}
        self._sites: dict[str, Site] = {}

    def of(self, topology: str) -> Site:
        if topology not in self._sites:
            self._open[topology] = ExitStack()
            self._sites[topology] = self._open[topology].enter_context(self._serve(topology))
        return self._sites[topology]

    def renew(self, topology: str) -> None:
        del self._sites[topology]
        # A server whose only thread hangs, as it was asked to, has to be killed, and that is told.
        with suppress(StopError):
            self._open.pop(topology).close()

    def close(self) -> None:
        for topology in list(self._sites):
            self.renew(topology)


@pytest.fixture
def sites(serve: Serve) -> Iterator[Sites]:
    sites = Sites(serve)
    yield sites
    sites.close()


def adds_up(result: Result) -> None:
    """Every count of a load is the sum of its parts, on the client's side and on the others."""
    assert sum(result.outcomes.values()) == result.sent
    assert result.unfinished == 0
    assert {key: one.total.count for key, one in result.by_outcome.items()} == result.outcomes
    assert sum(share.ended for share in result.by_request.values()) == result.sent
    assert sum(share.answers for share in result.by_backend.values()) == result.answered
    assert sum(second.started for second in result.timeline) == result.sent
    assert sum(second.finished for second in result.timeline) == result.sent
    assert result.total.count == result.answered
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0, result.ledger.lines()
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


EVERYTHING = [Request(GOOD, weight=9.0), *map(Request, FAULTS[:-1])]
HANG = [Request(GOOD, weight=9.0), Request("/misbehave?hang=body&size=3000")]
CRASH = [Request(GOOD, weight=9.0), Request(FAULTS[-1])]


@pytest.mark.parametrize(
    ("topology", "requests", "plan", "keepalive"),
    [
        ("flask", EVERYTHING, {"users": 6, "count": 40}, True),
        ("waitress", EVERYTHING, {"users": 6, "count": 40}, False),
        ("nginx2-flask", EVERYTHING, {"users": 6, "count": 40}, True),
        ("nginx2-waitress:front.retry=no", EVERYTHING, {"rate": 100, "count": 30}, True),
        ("flask:threaded=false", HANG, {"users": 4, "count": 20}, True),
        ("flask", CRASH, {"users": 4, "count": 30}, True),
        ("nginx2-flask", CRASH, {"users": 4, "count": 30}, False),
    ],
)
def test_all_faults_at_once_add_up(
    sites: Sites, topology: str, requests: list[Request], plan: dict[str, Any], keepalive: bool
) -> None:
    law_holds(sites, topology, requests, plan, keepalive)


# A test for each topology, so that workers of xdist share them: each example is a load on real
# servers, and one in two needs new ones.
@pytest.mark.parametrize("topology", TOPOLOGIES)
@settings(
    max_examples=3,
    deadline=None,
    database=None,
    derandomize="WINSERVE_NO_SKIPS" in os.environ,
    # What fails is shown as it is: to make it smaller would take many loads more.
    phases=[Phase.generate],
    # The sites are shared on purpose; a load takes as long as it takes.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=requests, plan=plans, keepalive=st.booleans())
def test_any_mix_of_faults_adds_up(
    sites: Sites, topology: str, requests: list[Request], plan: dict[str, Any], keepalive: bool
) -> None:
    law_holds(sites, topology, requests, plan, keepalive)


def law_holds(
    sites: Sites, topology: str, requests: list[Request], plan: dict[str, Any], keepalive: bool
) -> None:
    site = sites.of(topology)
    result = site.load(requests=requests, keepalive=keepalive, timeout=0.3, **plan)
    adds_up(result)
    if "count" in plan:
        assert result.sent == plan["count"]
    notes = result.ledger.notes if result.ledger is not None else ()
    if site.deaths() or any("still run" in note for note in notes):
        sites.renew(topology)
