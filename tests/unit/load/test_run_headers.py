"""The headers of a run: read, refused, merged and hidden."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.request_parts import NOT_SHOWN
from pytest_winserve.load.run_headers import checked, run_headers, shown
from pytest_winserve.system.header_fields import merged


def test_what_the_settings_say_becomes_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY", "k1")
    monkeypatch.setenv("OUR_SESSION", "abc")
    monkeypatch.setenv("OUR_PASSWORD", "pass")
    assert run_headers(
        ["X-Api-Key: env:OUR_KEY", "Accept:text/html; q=0.9"],
        ["session=env:OUR_SESSION", "theme=dark"],
        "shop:env:OUR_PASSWORD",
        "shop.example",
    ) == {
        "X-Api-Key": "k1",
        "Accept": "text/html; q=0.9",
        "Cookie": "session=abc; theme=dark",
        "Authorization": "Basic c2hvcDpwYXNz",
        "Host": "shop.example",
    }
    assert run_headers() == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"header": ["s3cr3t"]}, "there is no colon in it: 'Name: value' is needed"),
        ({"header": ["X Key: s3cr3t"]}, "header name 'X Key': a word such as 'Accept'"),
        ({"header": ["X-Key: s3cr3t\x00"]}, "header X-Key: text without line breaks"),
        ({"header": ["X-Key: s3cr3t\u20ac"]}, r"header X-Key: .* \(Latin-1\)"),
        ({"header": ["X-Key: env:"]}, "header X-Key: env: is followed by the name of"),
        ({"header": ["X-Key: env:NO_SUCH"]}, "there is no environment variable NO_SUCH: set it"),
        ({"header": ["content-length: 3"]}, "it follows from body="),
        ({"header": ["Connection: close"]}, "use keepalive="),
        ({"header": ["Transfer-Encoding: chunked"]}, "bodies are sent with their length"),
        ({"header": ["X-Winserve: s3cr3t"]}, "the lab marks its requests"),
        ({"header": ["X-Key: s3cr3t", "x-key: b"]}, "the header x-key is given twice: one value"),
        ({"header": ["Host: a"], "host_header": "b"}, "Host is given twice: take host_header only"),
        ({"header": ["Cookie: a=s3cr3t"], "cookie": ["b=1"]}, "twice: take cookie only"),
        ({"header": ["Authorization: s3cr3t"], "auth": "a:b"}, "twice: take auth or header"),
        ({"cookie": ["=s3cr3t"]}, "cookie: 'name=value' is needed"),
        ({"cookie": ["s3cr3t"]}, "cookie: 'name=value' is needed"),
        ({"cookie": ["a=s3cr3t; b=2"]}, "cookie a: a cookie has no ';', ',' or space in it"),
        ({"cookie": ["a=env:NO_SUCH"]}, "cookie a: there is no environment variable NO_SUCH"),
        ({"auth": "s3cr3t"}, "auth: USER:PASSWORD is needed"),
        ({"auth": "shop:env:NO_SUCH"}, "auth: there is no environment variable NO_SUCH"),
        ({"host_header": "shop\n"}, "header Host: text without line breaks"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_its_value(given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        run_headers(**given)
    assert "s3cr3t" not in str(caught.value)


def test_two_spellings_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        Request("/", headers={"Host": "a", "host": "b"})
    with pytest.raises(UsageError, match="given twice"):
        checked([("X-Key", "a"), ("X-Key", "b")])


def test_a_request_keeps_what_it_names_itself() -> None:
    plan = Plan.make(count=1, requests=[Request("/", headers={"x-key": "mine"}), "/b"])
    first, second = plan.with_headers({"X-Key": "run", "Host": "h"}).requests
    assert first.headers == {"Host": "h", "x-key": "mine"}
    assert second.headers == {"X-Key": "run", "Host": "h"}
    assert merged({"A": "1"}, {}) == {"A": "1"}


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-CSRFToken", "X-Session-Id"],
)
def test_a_plan_is_shown_without_secrets(name: str) -> None:
    request = Request("/", headers={name: "s3cr3t", "Accept": "text/html"})
    plan = Plan.make(count=1, requests=[request])
    assert plan.without_secrets().requests[0].headers == {name: NOT_SHOWN, "Accept": "text/html"}
    # What crosses to a process that sends has it.
    assert Plan.from_dict(plan.to_dict()).requests[0].headers[name] == "s3cr3t"
    assert "s3cr3t" not in repr(plan)


def test_settings_are_shown_by_name() -> None:
    assert shown(["X-Key: a:b", "c"], ":") == [f"X-Key: {NOT_SHOWN}", f": {NOT_SHOWN}"]
    assert shown(["session=a=b"], "=") == [f"session={NOT_SHOWN}"]
