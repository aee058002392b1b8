"""The loops of the engine's workers: the same calls in the same order, whatever waits below."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pytest_winserve.load.engines.builtin import event_loops
from pytest_winserve.load.engines.builtin.event_loops import Loop, Transport
from tests.kit.raw_server import Connection, MakeServer

KINDS = ["AsyncioLoop", *(["Reactor"] if sys.platform == "linux" else [])]
SECONDS = 20.0
BIG = 8_000_000


@pytest.fixture(params=KINDS)
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    loop: Any = getattr(event_loops, request.param)()
    loop.call_later(SECONDS, pytest.fail, "it never came to its end")
    yield loop
    if request.param == "AsyncioLoop":
        for _ in range(2):  # what is closed needs a turn for it
            loop._loop.call_soon(loop.stop)
            loop._loop.run_forever()
        loop._loop.close()
    else:
        loop.epoll.close()


class Caller:
    """Sends `data` when it is connected, and notes what it is told; `enough` says when to stop."""

    def __init__(
        self, loop: Loop, data: bytes, enough: Callable[[Caller], bool] = lambda _: False
    ) -> None:
        self.loop = loop
        self.data = data
        self.enough = enough
        self.told: list[str] = []
        self.received = b""
        self.error: Exception | None = None
        self.ended = False
        self.transport: Transport

    def note(self, what: str) -> None:
        if self.told[-1:] != [what]:
            self.told.append(what)
        if what in ("lost", "failed") or self.enough(self):
            self.loop.stop()

    def connection_made(self, transport: Transport, at: float | None = None) -> None:
        self.transport = transport
        self.note("made")
        if at is None:
            transport.write(self.data)

    def connect_failed(self, error: OSError) -> None:
        self.error = error
        self.note("failed")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.note("data")

    def eof_received(self) -> None:
        self.note("eof")

    def pause_writing(self) -> None:
        return

    def resume_writing(self) -> None:
        return

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.note("lost")


def call(loop: Loop, caller: Caller, port: int) -> Caller:
    # It may be over when `open` returns, so that is called from within the loop.
    loop.call_later(0, loop.connection(caller, ("127.0.0.1", port)).open, caller.data)
    loop.run_forever()
    return caller


def answer(connection: Connection) -> bool:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return False


def test_an_answer_and_the_end_that_comes_with_it(loop: Loop, raw_server: MakeServer) -> None:
    server = raw_server(answer)
    caller = call(loop, Caller(loop, b"GET / HTTP/1.1\r\n\r\n"), server.port)
    assert caller.told == ["made", "data", "eof", "lost"]
    assert caller.received.endswith(b"\r\n\r\nok")
    assert caller.error is None
    assert caller.transport.is_closing()


def test_many_answers_on_one_connection(loop: Loop, raw_server: MakeServer) -> None:
    server = raw_server(lambda connection: not answer(connection))
    again = {"left": 50}

    def enough(caller: Caller) -> bool:
        if caller.told[-1] == "data" and caller.received.count(b"ok") > 50 - again["left"]:
            again["left"] -= 1
            if again["left"]:
                caller.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        return not again["left"]

    caller = call(loop, Caller(loop, b"GET / HTTP/1.1\r\n\r\n", enough), server.port)
    assert caller.received.count(b"ok") == 50
    assert server.connections == 1
    caller.transport.abort()


def test_more_than_the_sockets_take_at_once(loop: Loop, raw_server: MakeServer) -> None:
    head = f"POST / HTTP/1.1\r\nContent-Length: {BIG}\r\n\r\n".encode()

    def echo(connection: Connection) -> bool:
        connection.send(connection.request)
        return False

    caller = call(loop, Caller(loop, head + b"x" * BIG), raw_server(echo).port)
    assert len(caller.received) == len(head) + BIG
    assert caller.told == ["made", "data", "eof", "lost"]


def test_a_reset(loop: Loop, raw_server: MakeServer) -> None:
    caller = call(loop, Caller(loop, b"GET / HTTP/1.1\r\n\r\n"), raw_server(Connection.reset).port)
    assert caller.told == ["made", "lost"]
    assert isinstance(caller.error, ConnectionResetError)


def test_nobody_listens(loop: Loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    caller = call(loop, Caller(loop, b""), port)
    assert caller.told == ["failed"]
    assert isinstance(caller.error, ConnectionRefusedError)


def test_a_connection_that_is_called_off(loop: Loop) -> None:
    caller = Caller(loop, b"")
    # A queue that is full: the next connect has to wait.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect(listener.getsockname())
            waiting.append(sock)
        connecting = loop.connection(caller, listener.getsockname())
        connecting.open(b"")
        loop.call_later(0.05, connecting.cancel)
        loop.call_later(0.15, loop.stop)
        loop.run_forever()
        for sock in waiting:
            sock.close()
    assert "made" not in caller.told
    assert "failed" not in caller.told


def test_timers_come_in_order_unless_they_are_called_off(loop: Loop) -> None:
    came: list[str] = []
    loop.call_later(0.03, came.append, "second")
    loop.call_later(0.01, came.append, "first")
    loop.call_later(0.02, came.append, "never").cancel()
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    assert came == ["first", "second"]


def test_what_a_callback_raises_ends_the_loop(loop: Loop, raw_server: MakeServer) -> None:
    class Broken(Caller):
        def data_received(self, data: bytes) -> None:
            raise KeyError("a fault of ours")

    caller = Broken(loop, b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(KeyError, match="a fault of ours"):
        call(loop, caller, raw_server(answer).port)
    caller.transport.abort()
