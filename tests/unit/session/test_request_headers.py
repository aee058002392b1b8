"""The headers of a run: how they are written, and what is refused without showing a value."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.session.request_headers import headers_of
from pytest_winserve.session.settings import resolve


def headers(**given: object) -> dict[str, str]:
    return headers_of(resolve(given, lambda key: None))


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret")
    assert headers() == {}
    assert headers(
        header=["Accept: text/html, */*; q=0.1", "X-Api-Key: env:KEY", "Empty:"],
        cookie=["a=1", "session=env:KEY"],
        auth="ann:env:KEY",
        host_header="shop.example",
    ) == {
        "Accept": "text/html, */*; q=0.1",
        "X-Api-Key": "s3cret",
        "Empty": "",
        "Host": "shop.example",
        "Authorization": "Basic YW5uOnMzY3JldA==",
        "Cookie": "a=1; session=s3cret",
    }
    assert headers(auth="ann:pass:word")["Authorization"] == "Basic YW5uOnBhc3M6d29yZA=="
    assert headers(header=["host: a"]) == {"Host": "a"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"header": ["s3cret"]}, "--header s3cret: 'Name: value' is needed"),
        ({"header": [": s3cret"]}, "'Name: value' is needed"),
        ({"header": ["A B: s3cret"]}, "header name 'A B': a word such as 'Accept' is needed"),
        ({"header": ["A: s3cret\x00"]}, "header A: its value: text without line breaks"),
        ({"header": ["A: s3cret\u20ac"]}, "header A: its value: text without line breaks"),
        ({"header": ["Content-Length: 3"]}, "it follows from body="),
        ({"header": ["X-Winserve: load-1"]}, "the lab marks its requests with it"),
        ({"header": ["A: env:NOT_THERE"]}, "--header A: there is no variable 'NOT_THERE'"),
        ({"header": ["A: 1", "a: s3cret"]}, "the header a is given twice"),
        ({"header": ["Host: a"], "host_header": "b"}, "the header Host is given twice"),
        ({"header": ["Cookie: a=1"], "cookie": ["b=s3cret"]}, "the header Cookie is given twice"),
        ({"cookie": ["=s3cret"]}, "'name=value' is needed"),
        ({"cookie": ["a b=s3cret"]}, "--cookie a b: 'name=value' is needed"),
        ({"cookie": ["a=s3cret; b=2"]}, "--cookie a: a semicolon ends a cookie"),
        ({"auth": "ann"}, "--auth: USER:PASSWORD is needed"),
    ],
)
def test_what_cannot_be_sent(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        headers(**given)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value).replace("--header s3cret", "")


def test_what_a_request_has_itself_it_keeps() -> None:
    plan = Plan.make(
        users=1, count=1, requests=[Request("/", headers={"accept": "own"}), Request("/b")]
    )
    sent = plan.with_headers({"Accept": "run", "Key": "1"})
    assert [dict(each.headers) for each in sent.requests] == [
        {"Key": "1", "accept": "own"},
        {"Accept": "run", "Key": "1"},
    ]
    assert plan.with_headers({}) is plan
