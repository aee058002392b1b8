"""What tsung is told for a plan; what it does with it is tested with the real one."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.tsung.config import (
    MOST_USERS,
    Client,
    StaticUser,
    check_plan,
    configuration,
    users_of,
)
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.steps import Step, Upload
from pytest_winserve.load.plan import Plan, Request

FOREVER = 10**12


def users(**plan: Any) -> list[StaticUser]:
    return users_of(Plan.make(**plan))


def xml(tmp_path: Path, *, clients: tuple[Client, ...] = (), **plan: Any) -> ET.Element:
    made = Plan.make(**plan)
    target = Target("http://example.test:8080", tag="load-1")
    text = configuration(made, target, ("127.0.0.1", 8080), "load-1", tmp_path, 61.2, clients)
    return ET.fromstring(text)


def test_users_of_the_closed_model() -> None:
    assert users(users=2, duration=3) == [StaticUser(0, 3000, FOREVER)] * 2
    assert users(users=3, count=7) == [StaticUser(0, FOREVER, n) for n in (3, 2, 2)]
    assert users(users=9, count=2) == [StaticUser(0, FOREVER, 1)] * 2
    assert users(users=3, duration=3, count=3, connect_rate=10) == [
        StaticUser(0, 3000, 1), StaticUser(100, 2900, 1), StaticUser(200, 2800, 1),
    ]  # fmt: skip
    assert len(users(users=50, duration=2, connect_rate=10)) == 20  # the others never start


def test_users_of_stages_start_and_end_where_the_level_crosses_them() -> None:
    assert users(stages=[(4, 2), (2, 2), (4, 0)]) == [
        StaticUser(0, 10_000, FOREVER), StaticUser(2000, 6000, FOREVER),
    ]  # fmt: skip
    assert users(stages=[(1, 1), (1, 0), (1, 2)]) == [
        StaticUser(0, 2000, FOREVER),
        StaticUser(2000, 1000, FOREVER),
        StaticUser(2500, 500, FOREVER),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "plan",
    [
        {"stages": [(3, 7), (2, 7), (5, 2), (1, 4), (2, 0)]},
        {"stages": [(1, 1), (1, 0), (2, 5), (3, 5)]},
    ],
)
def test_at_any_moment_as_many_users_run_as_the_plan_wants(plan: dict[str, Any]) -> None:
    made = Plan.make(**plan)
    stretches = [(user.start, user.start + user.life) for user in users_of(made)]
    seconds = made.seconds
    assert seconds is not None
    for ms in range(3, round(seconds * 1000), 37):
        level = made.level_at(ms / 1000)
        if abs(level - round(level)) > 0.01 or level == made.level_at(ms / 1000 + 0.01):
            running = sum(begin <= ms < end for begin, end in stretches)
            assert level <= running < level + 1


def test_users_of_the_open_model_are_its_arrivals() -> None:
    assert users(rate=100, duration=0.05) == [StaticUser(10 * k, FOREVER, 1) for k in range(5)]
    assert [user.start for user in users(rate=2, count=3)] == [0, 500, 1000]
    staged = Plan.make(rate=0, stages=[(2, 10)])
    assert len(users_of(staged)) == 10


def test_more_users_than_tsung_can_be_given_are_refused() -> None:
    assert len(users(rate=MOST_USERS, duration=1)) == MOST_USERS
    with pytest.raises(UsageError, match=f"{MOST_USERS} users at most"):
        users(rate=MOST_USERS + 1, duration=1)
    with pytest.raises(UsageError, match="users at most"):
        users(rate=10, count=10**9)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"requests": [Request("/", "HEAD")]}, "method='HEAD'"),
        ({"requests": [Request("/", "get")]}, "method='get'"),
        ({"requests": [Request("/", "GET", body=b"x")]}, "POST, PUT, PATCH, DELETE with a body"),
        ({"connect_rate": 5, "keepalive": False}, "connect_rate without keepalive"),
    ],
)
def test_what_tsung_cannot_do_is_refused(plan: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_plan(Plan.make(count=1, **plan))


def test_a_count_with_stages_is_refused() -> None:
    with pytest.raises(UsageError, match="count with stages"):
        check_plan(Plan.make(count=1, stages=[(1, 1)]))
    check_plan(Plan.make(count=1, stages=[(1, 1)], rate=1))


def test_the_request_is_written_as_it_is(tmp_path: Path) -> None:
    value = "a <\"'&> \t\xfc"
    request = Request("/p?a=1&b='<%%x%%>'", "POST", {"X-A": value, "Host": "other"}, b"\x00\xff<")
    root = xml(tmp_path, count=1, requests=[request], keepalive=False)
    (http,) = root.iter("http")
    assert http.attrib["url"] == request.path
    assert http.attrib["method"] == "POST"
    assert Path(http.attrib["contents_from_file"]).read_bytes() == request.body
    headers = {field.attrib["name"]: field.attrib["value"] for field in http}
    assert headers == {
        "X-A": value, "Host": "other", "X-Winserve": "load-1", "Connection": "close",
    }  # fmt: skip
    (request_element,) = root.iter("request")
    assert "subst" not in request_element.attrib  # or tsung would replace %%x%%


def test_keepalive_and_the_host_by_name(tmp_path: Path) -> None:
    (http,) = xml(tmp_path, count=1, path="/a").iter("http")
    headers = {field.attrib["name"]: field.attrib["value"] for field in http}
    assert headers == {"Host": "example.test:8080", "X-Winserve": "load-1"}


def test_users_with_the_same_share_have_the_same_session(tmp_path: Path) -> None:
    root = xml(tmp_path, users=5, count=7, think_time=0.25, timeout=2.5)
    assert [user.attrib["session"] for user in root.iter("user")] == ["u0"] * 2 + ["u1"] * 3
    assert [session.attrib["name"] for session in root.iter("session")] == ["u0", "u1"]
    assert {pause.attrib["value"] for pause in root.iter("thinktime")} == {"0.250"}
    options = {option.attrib["name"]: option.attrib["value"] for option in root.iter("option")}
    assert options == {"connect_timeout": "2500", "idle_timeout": "2500", "max_retries": "3"}
    (load,) = root.iter("load")
    assert load.attrib["duration"] == "62"


def test_without_clients_the_users_run_in_the_controller(tmp_path: Path) -> None:
    (client,) = xml(tmp_path, users=5, count=7).iter("client")
    assert client.attrib == {"host": "localhost", "use_controller_vm": "true", "maxusers": "6"}


def test_several_clients(tmp_path: Path) -> None:
    root = xml(tmp_path, users=5, count=7, clients=(Client("gen1", 2), Client("gen2")))
    assert [client.attrib for client in root.iter("client")] == [
        {"host": "gen1", "weight": "2", "maxusers": "6"},
        {"host": "gen2", "weight": "1", "maxusers": "6"},
    ]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Step(get="/", follow=True), "follow: the engine tsung does not follow redirects"),
        (
            Step(post="/", files={"photo": Upload("cat.png", b"x")}),
            "files: the engine tsung sends no uploads",
        ),
        (Step(get="{next}"), "get = '{next}': the engine tsung cannot tell"),
        (Step(get="/", take={"id": "json:$.id"}), "take: id: .* and not by 'json:'"),
        (Step(get="/", take={"id": "cookie:id"}), "take: id: .* and not by 'cookie:'"),
        (Step(get="/", take={"id": r"(\w+)\Z"}), "take: id: the pattern .* Erlang"),
        (Step(get="/", take={"id": "é(.)"}), "take: id: the pattern .* Erlang"),
        (Step(get="/", take={"id": "(?x) (.)"}), "take: id: the pattern .* Erlang"),
        (Step(post="/", body="x"), "body: the engine tsung sends it as a form.* Content-Type"),
        (
            Step(get="/", headers={"accept-encoding": "gzip"}),
            "headers: Accept-Encoding: the engine tsung looks at pages that are not compressed",
        ),
    ],
)
def test_a_step_that_tsung_cannot_make_is_named(step: Step, told: str) -> None:
    first = Step(get="/first", take={"next": "(.)"})
    plan = Plan.make(count=1, journeys=[Journey("order", [first, step])])
    where = rf"the journey 'order', step 2 \({re.escape(step.label)}\), "
    with pytest.raises(UsageError, match=f"{where}{told}.*; take the engine builtin or locust"):
        check_plan(plan)


def test_a_row_of_the_data_is_one_users_with_tsung() -> None:
    journey = Journey("order", [Step(get="/{user}")], data=[{"user": "a"}])
    check_plan(Plan.make(users=3, count=3, journeys=[journey]))
    with pytest.raises(UsageError, match="'order', data: the engine tsung starts new users"):
        check_plan(Plan.make(stages=[(1, 3)], journeys=[journey]))


@pytest.mark.parametrize(
    "pattern", [r'name="csrf"[^>]*value="([^"]+)"', r"(?i)id=(\d+)\.", r"(?:a|b)(?P<id>.*?)\s"]
)
def test_patterns_that_mean_the_same_to_erlang(pattern: str) -> None:
    step = Step(get="/", take={"id": pattern}, expect={"status": [200, 404], "text": "x"})
    check_plan(Plan.make(count=1, journeys=[Journey("order", [step])]))


def test_each_user_has_its_row_and_secrets_are_in_no_attribute(tmp_path: Path) -> None:
    rows = [{"user": "a,b", "password": "p\nq"}, {"user": "c", "password": "secret"}]
    step = Step(post="/in", form={"user": "{user}", "password": "{password}"})
    made = xml(tmp_path, users=3, count=3, journeys=[Journey("order", [step], data=rows)])
    files = {each.get("id"): Path(str(each.get("value"))) for each in made.iter("option")}
    assert files["shares"].read_text() == f"{FOREVER},1\n" * 3
    lines = files["rows0"].read_text().splitlines()
    decoded = [[base64.b64decode(cell).decode() for cell in line.split(",")] for line in lines]
    assert decoded == [["a,b", "p\nq"], ["c", "secret"], ["a,b", "p\nq"]]
    assert "secret" not in ET.tostring(made, "unicode")
