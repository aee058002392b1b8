"""An exchange has an end, whatever the other side does."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from pytest_winserve.system import exchange
from pytest_winserve.system.exchange import Exchanges, Get
from pytest_winserve.system.program import Deadline
from tests.kit.ports import free_port
from tests.kit.raw_server import Connection, MakeServer, Server

LONG = 600.0
OK = b"HTTP/1.1 200 OK\r\n"


def ask(server: Server, seconds: float = LONG, path: str = "/a?b=c") -> Get:
    """One GET, as far as it comes."""
    with Exchanges(("127.0.0.1", server.port)) as exchanges:
        get = exchanges.get(path, {"X-Ask": "me"}, Deadline.after(seconds))
        exchanges.finish()
    assert get.ended is not None
    assert get.connection is None
    return get


def sends(*parts: bytes) -> Callable[[Connection], bool]:
    """Answers with these bytes, and closes."""

    def answer(connection: Connection) -> bool:
        for part in parts:
            connection.send(part)
        return False

    return answer


def without_end(connection: Connection, part: bytes, pause: float) -> bool:
    """Sends one part after the other, until nobody wants any."""
    while not connection.server.stopped.wait(pause):
        connection.send(part)
    return False


@pytest.mark.parametrize(
    "parts",
    [
        (OK + b"Content-Length: 5\r\n\r\nhello",),
        (OK[:7], OK[7:] + b"Content-Length: 5\r\n\r\nhe", b"llo"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",),
        (OK + b"\r\nhello",),  # the end of the connection is its end
        (b"HTTP/1.0 200 OK\r\n\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",),
        (OK + b"Content-Length: 2\r\n\r\nhi" + b"what nobody has asked for",),
    ],
)
def test_whole_answers(raw_server: MakeServer, parts: tuple[bytes, ...]) -> None:
    server = raw_server(sends(*parts))
    get = ask(server)
    assert (get.error, get.endless) == (None, False)
    assert get.answer is not None
    assert (get.answer.status, get.answer.reason) == (200, "OK")
    request = server.requests[0]
    assert request.startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in request
    assert b"X-Ask: me\r\n" in request


def test_an_answer_has_its_status_and_headers(raw_server: MakeServer) -> None:
    get = ask(
        raw_server(sends(b"HTTP/1.1 404 Nobody here\r\nX-Who: me\r\nContent-Length: 0\r\n\r\n"))
    )
    assert get.answer is not None
    assert (get.answer.status, get.answer.reason) == (404, "Nobody here")
    assert get.answer.headers["x-who"] == "me"


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ((), "Remote end closed connection without response"),
        ((OK,), "Remote end closed connection before the answer was complete"),
        ((OK + b"Content-Length: 9\r\n\r\nhello",), "before the answer was complete"),
        ((OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe",), "before the answer was complete"),
        ((b"SSH-2.0-OpenSSH_9.6\r\n",), "what came is not HTTP"),
    ],
)
def test_answers_that_are_cut(raw_server: MakeServer, parts: tuple[bytes, ...], error: str) -> None:
    get = ask(raw_server(sends(*parts)))
    assert error in (get.error or "")
    assert not get.endless


def test_nobody_listens() -> None:
    with Exchanges(("127.0.0.1", free_port())) as exchanges:
        get = exchanges.get("/", {}, Deadline.after(LONG))
        exchanges.finish()
    assert "refused" in (get.error or "")
    assert get.answer is None


def test_a_body_that_trickles_meets_no_socket_timeout_and_ends_all_the_same(
    raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.5)

    def trickle(connection: Connection) -> bool:
        connection.send(OK + b"\r\n")
        return without_end(connection, b".", 0.02)

    get = ask(raw_server(trickle))
    assert get.endless
    assert get.answer is not None
    assert get.without("--fast").startswith("does not end: name another path with --fast (")


def test_headers_that_trickle(raw_server: MakeServer) -> None:
    def trickle(connection: Connection) -> bool:
        connection.send(OK)
        return without_end(connection, b"X-More: and more\r\n", 0.02)

    get = ask(raw_server(trickle), seconds=0.5)
    assert (get.error, get.answer) == ("its headers do not end", None)


def test_headers_that_flood(raw_server: MakeServer) -> None:
    def flood(connection: Connection) -> bool:
        connection.send(OK)
        return without_end(connection, b"X-More: and more\r\n" * 1000, 0)

    get = ask(raw_server(flood))
    assert (get.error, get.endless) == ("its headers do not end", True)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_floods(
    raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(exchange, "LARGEST_ANSWER", 5_000_000)

    def flood(connection: Connection) -> bool:
        connection.send(OK + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        part = b"5\r\nhello\r\n" if chunked else b"hello"
        return without_end(connection, part * 1000, 0)

    get = ask(raw_server(flood))
    assert (get.error, get.endless) == ("does not end", True)


def test_what_follows_a_body_in_chunks_is_no_header(raw_server: MakeServer) -> None:
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Late: yes\r\n\r\n"
    get = ask(raw_server(sends(answer)))
    assert get.answer is not None
    assert "x-late" not in get.answer.headers


def test_what_look_raises_ends_all_of_them(raw_server: MakeServer) -> None:
    def silent(connection: Connection) -> bool:
        connection.server.stopped.wait()
        return False

    server = raw_server(silent)

    def look() -> None:
        if len(server.requests) == 3:
            raise KeyboardInterrupt

    with Exchanges(("127.0.0.1", server.port), look) as exchanges:
        gets = [exchanges.get("/", {}, Deadline.after(LONG)) for _ in range(3)]
        with pytest.raises(KeyboardInterrupt):
            exchanges.finish()
    assert [get.error for get in gets] == ["given up"] * 3
    assert all(get.connection is None for get in gets)


@pytest.mark.parametrize("per_selector", [2, 100])
def test_many_at_once(
    raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch, per_selector: int
) -> None:
    """Also where one selector does not take all of them."""
    monkeypatch.setattr(exchange, "PER_SELECTOR", per_selector)
    server = raw_server(sends(OK + b"Content-Length: 2\r\n\r\nhi"))
    with Exchanges(("127.0.0.1", server.port)) as exchanges:
        gets = [exchanges.get(f"/{n}", {}, Deadline.after(LONG)) for n in range(9)]
        exchanges.finish()
        more = exchanges.get("/more", {}, Deadline.after(LONG))
        exchanges.finish()
    assert [get.error for get in (*gets, more)] == [None] * 10
    assert server.connections == 10


@pytest.fixture
def full() -> Iterator[tuple[str, int]]:
    """A server that takes no connection any more, and refuses none."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        yield address
        for sock in waiting:
            sock.close()


def test_a_connect_has_an_end(full: tuple[str, int]) -> None:
    with Exchanges(full) as exchanges:
        get = exchanges.get("/", {}, Deadline.after(LONG), connect_by=Deadline.after(0.3))
        exchanges.finish()
    assert get.answer is None
    assert get.error is not None


def test_they_go_on_while_something_else_is_waited_for(raw_server: MakeServer) -> None:
    server = raw_server(sends(OK + b"Content-Length: 2\r\n\r\nhi"))
    with Exchanges(("127.0.0.1", server.port)) as exchanges:
        get = exchanges.get("/", {}, Deadline.after(LONG))
        while get.ended is None:
            exchanges.go_on(0.005)
        exchanges.go_on_until(time.perf_counter() + 0.01)
    assert get.error is None
