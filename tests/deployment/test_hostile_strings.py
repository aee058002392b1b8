"""Paths and headers with all that could be misread: refused, or delivered as they are."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Request
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

REFUSED = [
    "/a b",
    "/a\tb",
    "/a\r\nHost: b",
    "/a\nb",
    "/\0",
    "/ü",
    "/\x7f",
    "/a#b",
    "a",
    "",
    "//\u2028",
]
LITERAL = "/a;b'c/%20%22%0d%0a/$HOME$(x)`y`{z}|\\^<>?q=%20\"'&r=;$x&s=%0d%0aX:%201&t={}|\\^`<>"


@pytest.mark.parametrize("path", REFUSED)
def test_refused_paths(serve: Serve, traces: Traces, path: str) -> None:
    with pytest.raises(UsageError):
        serve("flask", fast=path)
    with pytest.raises(UsageError):
        serve("flask", slow=path)
    with pytest.raises(UsageError):
        Request(path)
    traces.nothing_started()


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nX-C: d"}, {"X-A": "b\n"}, {"X-A\r\n": "b"}, {"X A": "b"}, {"X-A:": "b"},
     {"": "b"}, {"X-A": "\0"}, {"X-A": "\u20ac"}, {"X-Winserve": "load-0"},
     {"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}],
)  # fmt: skip
def test_refused_headers(headers: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Request("/", headers=headers)


def test_what_is_not_refused_is_delivered_as_it_is(serve: Serve) -> None:
    values = {
        "X-Plain": 'it\'s; "quoted" $HOME %20 \\ `x` {y}',
        "X-Latin": "\xfc\xff",
        "X-None": "",
    }
    with serve("nginx4", "apps.echo:app", fast=LITERAL) as site:
        result = site.load(requests=[Request(LITERAL, headers=values)], count=8, users=2)
        assert result.outcomes == {"200": 8}
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        seen = site.get("/last").json()
    path, _, query = LITERAL.partition("?")
    assert seen["query"] == query
    assert seen["path"] == path.replace("%20", " ").replace("%22", '"').replace("%0d%0a", "\r\n")
    assert {name: seen["headers"]["HTTP_" + name.upper().replace("-", "_")] for name in values} == (
        values
    )
    assert "HTTP_X_WINSERVE" not in seen["headers"]
