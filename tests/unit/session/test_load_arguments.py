"""What the settings say of a load."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.session.load_arguments import load_arguments
from pytest_winserve.session.settings import resolve


def plan_of(path: str | None = None, **given: str | list[str]) -> Plan:
    return Plan.make(**load_arguments(resolve(given, lambda key: None), path))


def test_without_any_it_is_a_get_of_the_path() -> None:
    plan = plan_of("/orders", users="3", duration="2")
    assert plan == Plan.make(users=3, duration=2, path="/orders")


def test_one_request(tmp_path: Path) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert plan_of("/o", data="a=1").requests == (Request("/o", "POST", form, b"a=1"),)
    body = tmp_path / "body.json"
    body.write_bytes(b"[1]")
    as_json = {"Content-Type": "application/json"}
    sent = plan_of("/o", json=f"@{body}", method="PUT").requests
    assert sent == (Request("/o", "PUT", as_json, b"[1]"),)
    # The type that the run's headers name counts.
    assert plan_of("/o", json="[1]", header=["content-type: text/x"]).requests[0].headers == {}
    assert plan_of(fast="/f", method="DELETE").requests == (Request("/f", "DELETE"),)


def test_times_and_stages() -> None:
    plan = plan_of("/", stages="10:5, 100:20", think="0.5", warmup="1", timeout="3")
    assert plan == Plan.make(
        path="/", stages=[(5, 10), (20, 100)], think_time=0.5, warmup=1, timeout=3
    )
    assert plan_of("/", think="0", warmup="0").think_time == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"json": "{a: 1}"}, "json: this is not JSON: "),
        ({"json": "1", "data": "1"}, "data with json: a request has one body"),
        ({"data": "@none"}, "data: none cannot be read"),
        ({"requests": "none.toml"}, "requests: none.toml cannot be read"),
        ({"requests": "none.toml", "method": "PUT"}, "requests with method"),
        ({"method": "GE T"}, "method='GE T': a word such as 'GET'"),
        ({"stages": "10"}, "stages: '10': LEVEL:SECONDS is needed, such as 10:5"),
        ({"stages": "a:b"}, "stages: 'a:b': LEVEL:SECONDS"),
        ({"stages": "10:0"}, "seconds=0.0: a number > 0"),
        ({"stages": "10:5", "users": "3"}, "users with stages"),
        ({"stages": "10:5", "duration": "3"}, "duration with stages"),
        ({"think": "-1"}, "think=-1"),
        ({"timeout": "0"}, "timeout=0"),
    ],
)
def test_what_cannot_be(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_of(**given)


def test_requests_of_a_file_and_a_path() -> None:
    with pytest.raises(UsageError, match="requests with path: the file says it of each"):
        plan_of("/", requests="mix.toml")
