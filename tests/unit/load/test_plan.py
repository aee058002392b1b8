from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import OPEN_MODEL_IN_FLIGHT, Plan, Request, Stage


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "duration="),
        ({"duration": 1, "users": 0}, "users=0"),
        ({"duration": 1, "users": 1.5}, "users=1.5"),
        ({"duration": 1, "users": True}, "users=True"),
        ({"duration": True}, "duration=True"),
        ({"duration": 0}, "> 0"),
        ({"duration": -1}, "duration=-1"),
        ({"duration": math.nan}, "duration=nan"),
        ({"duration": math.inf}, "duration=inf"),
        ({"duration": "5"}, "duration='5'"),
        ({"count": 0}, "count=0"),
        ({"count": 2.0}, "count=2.0"),
        ({"duration": 1, "stages": [(1, 1)]}, "duration with stages"),
        ({"stages": []}, "stages"),
        ({"stages": [(1, 0)]}, "levels"),
        ({"stages": [(0, 5)]}, "seconds=0"),
        ({"stages": [(1, -5)]}, "level=-5"),
        ({"stages": [(1, 2, 3)]}, "seconds, level"),
        ({"stages": [3]}, "seconds, level"),
        ({"stages": [(1, 2.5)]}, "whole number of users"),
        ({"stages": [(1, 5)], "users": 5}, "users with stages"),
        ({"duration": 1, "timeout": 0}, "timeout=0"),
        ({"duration": 1, "think_time": -1}, "think_time=-1"),
        ({"duration": 1, "warmup": math.nan}, "warmup=nan"),
        ({"duration": 1, "rate": 0}, "rate=0"),
        ({"duration": 1, "connect_rate": 0}, "connect_rate=0"),
        ({"duration": 1, "rate": 5, "connect_rate": 5}, "connect_rate with rate"),
        ({"duration": 1, "rate": 5, "think_time": 1}, "think_time with rate"),
        ({"duration": 1, "keepalive": 1}, "keepalive=1"),
        ({"duration": 1, "path": "test"}, "'/'"),
        ({"duration": 1, "path": ""}, "'/'"),
        ({"duration": 1, "path": "/a b"}, "spaces"),
        ({"duration": 1, "path": "/a\r\nX: y"}, "control"),
        ({"duration": 1, "path": "/ä"}, "percent"),
        ({"duration": 1, "path": "/a#b"}, "fragment"),
        ({"duration": 1, "path": "/a", "requests": ["/b"]}, "path with requests"),
        ({"duration": 1, "requests": []}, "at least one request"),
        ({"duration": 1, "requests": "/a"}, "list"),
        ({"duration": 1, "requests": [7]}, "path=7"),
    ],
)
def test_an_impossible_plan_says_what_is_wrong(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Plan.make(**arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"method": "GE T"}, "method"),
        ({"method": "GET\n"}, "method"),
        ({"method": ""}, "method"),
        ({"method": "CONNECT"}, "CONNECT"),
        ({"headers": {"A b": "c"}}, "header name"),
        ({"headers": {"A": "b\r\nC: d"}}, "line breaks"),
        ({"headers": {"A": "b\0"}}, "NUL"),
        ({"headers": {"A": 5}}, "header A"),
        ({"headers": {"connection": "close"}}, "keepalive="),
        ({"headers": {"Content-Length": "5"}}, "body="),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "length"),
        ({"headers": ["A"]}, "mapping"),
        ({"body": "text"}, "bytes"),
        ({"weight": 0}, "weight=0"),
        ({"weight": -1}, "weight=-1"),
        ({"weight": math.nan}, "weight=nan"),
        ({"weight": True}, "weight=True"),
    ],
)
def test_an_impossible_request_says_what_is_wrong(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Request("/", **arguments)
    assert text in str(caught.value)


def test_defaults() -> None:
    plan = Plan.make(duration=2)
    assert (plan.users, plan.keepalive, plan.timeout, plan.open_model) == (1, True, 10.0, False)
    assert plan.requests == (Request("/test"),)
    assert Plan.make(count=1, rate=5).users == OPEN_MODEL_IN_FLIGHT
    assert Plan.make(count=5, duration=1).seconds == 1.0
    assert Plan.make(count=5).seconds is None


def test_header_values_may_have_spaces() -> None:
    assert Request("/", headers={"User-Agent": "a b c"}).headers == {"User-Agent": "a b c"}


def test_dict_round_trip_through_json() -> None:
    requests: list[Request | str] = ["/a", Request("/b", "POST", {"A": "b"}, b"\x00\xff", 2.5)]
    plans = [
        Plan.make(users=3, duration=1.5, requests=requests, think_time=0.1, connect_rate=7),
        Plan.make(rate=10, stages=[(1, 20), Stage(2, 0)], timeout=3, warmup=1),
        Plan.make(count=9, keepalive=False),
    ]
    for plan in plans:
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_split_conserves_every_sum(n: int) -> None:
    plan = Plan.make(users=10, count=25, connect_rate=33.3)
    shares = plan.split(n)
    assert len(shares) == n
    assert sum(share.users for share in shares) == 10
    assert sum(share.count or 0 for share in shares) == 25
    assert math.fsum(share.connect_rate or 0 for share in shares) == pytest.approx(33.3, rel=1e-15)
    open_shares = Plan.make(duration=1, rate=0.7).split(n)
    assert math.fsum(share.rate or 0 for share in open_shares) == pytest.approx(0.7, rel=1e-15)
    staged = Plan.make(stages=[(1, 10), (1, 3)]).split(n)
    assert [sum(share.stages[i].level for share in staged) for i in (0, 1)] == [10, 3]


def test_split_never_makes_more_workers_than_users_or_requests() -> None:
    assert len(Plan.make(users=2, duration=1).split(8)) == 2
    assert len(Plan.make(users=20, count=3).split(8)) == 3


def test_levels_of_closed_stages_are_users_from_zero() -> None:
    plan = Plan.make(stages=[(10, 20), (5, 20), (10, 0)])
    assert plan.users == 20
    assert plan.seconds == 25
    assert [plan.level_at(t) for t in (0, 5, 10, 14, 20, 25)] == [0, 10, 20, 20, 10, 0]


def test_levels_of_open_stages_start_from_the_rate() -> None:
    plan = Plan.make(rate=10, stages=[(10, 20)])
    assert [plan.level_at(t) for t in (0, 5, 10)] == [10, 15, 20]


def test_arrivals_are_evenly_spaced() -> None:
    plan = Plan.make(rate=4, duration=1)
    assert [plan.arrival_time(k) for k in range(4)] == [0, 0.25, 0.5, 0.75]


def test_arrivals_of_stages_invert_the_integral_of_the_level() -> None:
    plan = Plan.make(rate=0, stages=[(2, 10), (1, 10), (2, 0)])
    # 10 arrivals in the rise, 10 in the plateau, 10 in the fall.
    assert plan.arrival_time(10) == pytest.approx(2)
    assert plan.arrival_time(15) == pytest.approx(2.5)
    assert plan.arrival_time(2.5) == pytest.approx(1)
    assert plan.arrival_time(27.5) == pytest.approx(4)
    assert plan.arrival_time(30) == math.inf
    assert plan.offered == 6  # 30 arrivals in 5 s


def test_arrivals_may_ramp_down_to_nothing() -> None:
    plan = Plan.make(rate=10, stages=[(2, 0)])
    assert plan.offered == 5
    assert plan.arrival_time(10) == math.inf
    with pytest.raises(UsageError, match="levels are all 0"):
        Plan.make(rate=0, stages=[(2, 0)])
