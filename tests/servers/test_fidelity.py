"""What a server answers in the lab is what it answers by its own command, byte for byte."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pytest_winserve import Lab
from pytest_winserve.errors import MissingComponent
from pytest_winserve.system.ports import ADDRESS
from tests.kit.components import needs
from tests.kit.own_commands import own_commands
from tests.kit.raw_client import Reply, exchange
from tests.kit.waiting import WAIT_SECONDS, eventually

pytestmark = needs("minutes")

APPS = Path(__file__).parents[1] / "kit" / "apps"
COMMANDS = own_commands("ordered:app")
PORTABLE = ("flask", "tornado", "waitress", "cheroot", "gevent", "hypercorn", "uvicorn")
FORKING = ("gunicorn", "granian", "uwsgi") if sys.platform != "win32" else ()


@dataclass(frozen=True, slots=True)
class Sides:
    """The ports of one server: in the lab, and by its own command."""

    server: str
    lab: int
    bare: int


@pytest.fixture(scope="module", params=[*PORTABLE, *FORKING])
def sides(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Sides]:
    server: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(APPS)
        try:
            with (
                lab.serve(server, app="ordered:app", fast="/", slow="/") as ours,
                lab.serve("command", command=COMMANDS[server], fast="/", slow="/") as bare,
            ):
                yield Sides(server, ours.deployment.address[1], bare.deployment.address[1])
        except MissingComponent as missing:
            pytest.skip(str(missing))


NAMES = st.sampled_from(["X-One", "x-two", "Content-Type", "Set-Cookie", "Cache-Control", "ETag"])
VALUES = st.text("abcXYZ 0129=;,/\"'-", max_size=20).map(lambda text: text.strip() or "v")
# With a header at least: Werkzeug takes an app without any for one that has not begun to answer,
# and the lab adds one.
ORDERS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(
            ["200 OK", "201 Made", "204 No Content", "302 Found", "304 Not Modified", "404 Gone",
             "418 I'm a teapot", "500 Oh", "503 Busy"]
        ),
        "headers": st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5),
        "start": st.sampled_from(["plain", "keyword", "again"]),
        "body": st.sampled_from(
            ["list", "tuple", "iterator", "generator", "object", "sized", "file"]
        ),
        "sizes": st.lists(st.sampled_from([0, 1, 10, 1000, 70_000]), max_size=4),
        "declares": st.booleans(),
        "reads": st.sampled_from([0, 3, 1_000_000]),
        "writes": st.just(0) | st.sampled_from([5, 3000]),
        "raises": st.just("") | st.sampled_from(["before", "after start", "at 0", "at 1", "at 3"]),
    }
)  # fmt: skip
REQUESTS = st.sampled_from([("GET", None), ("HEAD", None), ("POST", b""), ("POST", b"b" * 2000)])
PLAIN: dict[str, Any] = {
    "status": "200 OK", "headers": [("Content-Type", "text/plain")], "start": "plain",
    "body": "file", "sizes": [], "declares": False, "reads": 0, "writes": 0, "raises": "",
}  # fmt: skip
IDS = count()


def request_of(order: dict[str, Any]) -> str:
    """The path that gives this order to the app."""
    sizes = [100_000] if order["body"] == "file" else order["sizes"]
    if order["declares"]:
        length = str(sum(sizes) + order["writes"])
        order = order | {"headers": [*order["headers"], ("Content-Length", length)]}
    return f"/?{quote(json.dumps(order))}"


def sent(reply: Reply) -> list[bytes]:
    """The lines of the head without the lab's own and the time, and the body as it came."""
    head, _, body = reply.data.partition(b"\r\n\r\n")
    unlike = (b"x-winserve-", b"date:")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(unlike)]
    return [*lines, body]


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(order=ORDERS, request=REQUESTS)
@example(order=PLAIN, request=("GET", None))
@example(order=PLAIN | {"declares": True}, request=("GET", None))
@example(order=PLAIN, request=("HEAD", None))
@example(order=PLAIN | {"body": "sized", "sizes": [10]}, request=("GET", None))
@example(order=PLAIN | {"body": "object", "sizes": [1000] * 4}, request=("GET", None))
@example(order=PLAIN | {"body": "generator", "sizes": [10, 10], "raises": "at 1"},
         request=("GET", None))  # fmt: skip
def test_the_lab_and_the_servers_own_command_answer_alike(
    sides: Sides, order: dict[str, Any], request: tuple[str, bytes | None]
) -> None:
    # Tornado sends nothing then, and leaves the connection open; by its own command, too.
    assume(not (sides.server == "tornado" and order["raises"]))
    method, body = request
    name = str(next(IDS))
    path = request_of(order | {"id": name})
    lab, bare = (exchange(port, path, method=method, body=body) for port in (sides.lab, sides.bare))
    if sides.server == "granian" and str(order["raises"]).startswith("at"):
        # It breaks the answer off before or after it has sent what it got until then: by chance.
        shorter, longer = sorted((b"\r\n".join(sent(reply)) for reply in (lab, bare)), key=len)
        assert longer.startswith(shorter.rstrip(b"\r\n"))
    else:
        assert sent(lab) == sent(bare)
    assert lab.ended == bare.ended
    # Whether and how often it closes the body; it may do so after the answer.
    eventually(lambda: events(sides.lab, name) == events(sides.bare, name))


def events(port: int, name: str) -> object:
    """What happened to the request of that name."""
    return json.loads(exchange(port, f"/events?{name}").body)


READERS = 4  # as many as waitress has threads
BIG = 32_000_000  # more than sockets take that nobody reads


# Not gunicorn and uWSGI, whose one process sends the file itself: one reader is all that it has.
@pytest.mark.parametrize("sides", [*PORTABLE, *FORKING[1:2]], indirect=True)
def test_as_many_slow_readers_of_a_file_as_threads_keep_nobody_else_waiting(sides: Sides) -> None:
    path = request_of(PLAIN | {"size": BIG, "id": "big"})
    for port in (sides.lab, sides.bare):
        with ExitStack() as stack:
            for _ in range(READERS):
                reader = stack.enter_context(socket.socket())
                reader.settimeout(WAIT_SECONDS)
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.connect((ADDRESS, port))
                reader.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                assert reader.recv(12) == b"HTTP/1.1 200"
            assert exchange(port, "/").status == 200
