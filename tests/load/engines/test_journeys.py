"""The same journeys on each engine: equally many requests of each step."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_winserve import Journey, Step
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.engines.locust import LocustEngine
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from tests.kit.components import needs

if TYPE_CHECKING:
    from pytest_winserve.load.engine import Engine
    from tests.kit.raw_server import Connection, MakeServer

ROWS = [{"user": f"user{n}"} for n in range(10, 30)]  # all as long, for Content-Length
USER = re.compile(r"\buser\d\d\b")
STEPS = (
    Step(get="/", take={"token": "token=([0-9]+)"}),
    Step(post="/in", form={"user": "{user}", "token": "{token}"}, follow=True),
    Step(get="/page", expect={"text": "page of {user}"}),
    Step(get="/out", expect={"status": 302}),
)


COOKIES = (
    "here=1",
    "all=2; Path=/; HttpOnly; SameSite=Lax",
    "all=3; Path=/; Max-Age=100",
    "deep=4; path=/deep; expires=Wed, 01 Jan 2200 00:00:00 GMT",
    "gone=5; Path=/",
    "gone=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    "safe=6; Path=/; Secure",
)


def page(connection: Connection) -> bool:
    """A site with a login: it knows its users by a cookie."""
    request = connection.request.decode()
    path = request.split(" ", 2)[1]
    cookie = re.search(r"^Cookie: user=(\w+)\r$", request, re.M)
    head, body = "200 OK", ""
    if path == "/":
        body = "token=1234"
    elif path == "/in":
        user = re.search(r"user=(\w+)&token=1234", request)
        assert user is not None
        head = f"302 Found\r\nLocation: /page\r\nSet-Cookie: user={user[1]}; Path=/"
    elif path == "/page":
        body = f"page of {cookie[1] if cookie else 'nobody'}"
    elif path == "/out":
        head = "302 Found\r\nLocation: /\r\nSet-Cookie: user=; Max-Age=0; Path=/"
    elif path == "/deep/set":
        head += "".join(f"\r\nSet-Cookie: {each}" for each in COOKIES)
    text = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    connection.send(text.encode())
    return True


def run(engine: Engine, url: str, journeys: list[Journey]) -> Result:
    plan = Plan.make(users=20, count=40, journeys=journeys)
    return engine.run(plan, Target(url, tag="load-1"))


def walked_by(engine: Engine, raw_server: MakeServer) -> None:
    asked: Counter[str] = Counter()

    def counted(connection: Connection) -> bool:
        found = re.search(rb"^Cookie: user=(\w+)\r$", connection.request, re.M)
        if found is not None and connection.request.startswith(b"GET /out"):
            asked[found[1].decode()] += 1
        return page(connection)

    server = raw_server(counted)
    result = run(engine, server.url, [Journey("one", STEPS, data=ROWS, rows="unique")])
    assert result.unexpected == (), result.summary()
    assert {name: one.ended for name, one in result.by_request.items()} == {
        "GET /": 40,
        "POST /in": 40,
        "POST /in (followed)": 40,
        "GET /page": 40,
        "GET /out": 40,
    }
    assert result.outcomes == {"200": 120, "302": 80}
    (share,) = result.journeys
    assert (share.begun, share.complete) == (40, 40)
    assert result.sessions.count == 40
    assert set(asked) == {row["user"] for row in ROWS}
    assert asked.total() == 40


def test_the_builtin_engine_in_several_processes(raw_server: MakeServer) -> None:
    walked_by(BuiltinEngine(workers=2), raw_server)


@needs("locust")
def test_locust_in_several_processes(raw_server: MakeServer) -> None:
    walked_by(LocustEngine(workers=2), raw_server)


@pytest.mark.parametrize(
    "engine",
    [
        "builtin",
        pytest.param("locust", marks=needs("locust")),
        pytest.param("tsung", marks=needs("tsung")),
    ],
)
def test_what_breaks_a_pass(engine: str, raw_server: MakeServer) -> None:
    def broken(connection: Connection) -> bool:
        if connection.request.startswith(b"GET /page"):
            return False  # closed without an answer
        return page(connection)

    wrong = Journey("wrong", [Step(get="/", take={"id": "id=(.)"}), Step(get="/never")])
    lost = Journey("lost", [Step(get="/"), Step(get="/page"), Step(get="/never")])
    server = raw_server(broken)
    result = run(get_engine(engine), server.url, [wrong, lost])
    first, second = result.journeys
    assert first.begun + second.begun == 40
    assert first.broken == {"wrong: GET /": first.begun}
    assert second.broken == {"lost: GET /page": second.begun}
    assert result.outcomes == {
        "200": second.begun,
        "closed_early": second.begun,
        "unexpected": first.begun,
    }
    (told,) = result.unexpected
    assert told.expected == "{id} to be found by id=(.)"
    assert told.count == first.begun
    assert told.beginning == ("" if engine == "tsung" else "token=1234")  # it keeps no answers
    assert result.metric("status(200)")[0] == 40


def test_users_that_think_are_not_hurried_at_the_end(raw_server: MakeServer) -> None:
    journey = Journey("slow", [Step(get="/", think=0.2), Step(get="/")])
    server = raw_server(page)
    result = run(get_engine("builtin"), server.url, [journey])
    assert result.outcomes == {"200": 80}
    lowest = result.sessions.percentile(1)
    assert lowest is not None
    assert lowest >= 0.2  # a pause is never shorter


PLAIN = (
    Step(get="/", take={"token": "token=([0-9]+)"}),
    Step(
        post="/in",
        form={"user": "{user}", "token": "{token}"},
        expect={"status": 302, "header": {"Location": "/page"}},
    ),
    Step(get="/page", expect={"text": "page of {user}"}),
    Step(get="/out", expect={"status": 302}, think=(0.01, 0.02)),
    Step(get="/page", name="afterwards", expect={"text": "page of nobody"}),
    Step(put="/deep/set", json={"who": 'é "{user}"', "n": [1]}, headers={"X-Who": "{user}!"}),
    Step(get="/deep/other?of={user}&x=1"),
    Step(delete="/deep", body="{token}", headers={"content-type": "text/plain"}),
    Step(get="/deeper"),
)
"""Steps that tsung can be told, too."""


@needs("tsung")
def test_tsung_sends_what_the_builtin_engine_sends(raw_server: MakeServer) -> None:
    def kept(connection: Connection) -> bool:
        asked.append(connection.request)
        return page(connection)

    asked: list[bytes] = []
    server = raw_server(kept)
    journey = Journey("one", PLAIN, data=ROWS, rows="unique")
    told = []
    for name in ("builtin", "tsung"):
        asked.clear()
        result = run(get_engine(name), server.url, [journey])
        assert result.unexpected == (), result.summary()
        assert result.generator.lost == 0, result.summary()
        steps = {label: one.outcomes for label, one in result.by_request.items()}
        told.append(
            (steps, result.journeys, result.outcomes, result.sessions.count, _wanted(asked))
        )
    builtin, tsung = told
    assert tsung == builtin
    assert builtin[4][1] == {row["user"] for row in ROWS}
    assert builtin[0]["afterwards"] == {"200": 40}


def _wanted(asked: list[bytes]) -> tuple[dict[tuple[str, ...], int], set[str]]:
    """How often each request came, and for which users.

    Not how often for each user: who is quick makes more of the passes that all share. Nor in which
    order the lines stood, and what tsung adds of its own.
    """
    requests: Counter[tuple[str, ...]] = Counter()
    users: set[str] = set()
    for request in asked:
        users.update(USER.findall(request.decode()))
        text = USER.sub("USER", request.decode()).replace("content-type:", "Content-Type:")
        lines = text.split("\r\n")
        requests[tuple(sorted(line for line in lines if not line.startswith("User-Agent: ")))] += 1
    return dict(requests), users
