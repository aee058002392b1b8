"""The app of the lab: the article's two routes, and one that misbehaves as the URL asks.

* `/test` answers at once, `/sleep?seconds=S` after S seconds (default 1). Both answer with JSON
  that names the process and the thread.
* `/misbehave?status=503&delay=0.5&size=1000&chunks=5&declare=2000&hang=headers&reset=body&crash=1`:
  any failure, by its query. See `Orders`.
"""

from __future__ import annotations

import gc
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, abort, jsonify, request

app = Flask(__name__)

MAX_SECONDS = 3600.0
MAX_SIZE = 1 << 30
MOMENTS = ("headers", "body")


@dataclass(frozen=True, slots=True)
class Orders:
    """What `/misbehave` is asked to do, in the order in which it is done.

    `delay`: seconds before anything. `crash`: end the process with this exit status. `hang`,
    `reset`: before the `headers`, or in the middle of the `body`. `status`, `size` (bytes),
    `chunks` (parts of the body, sent chunked where the server can), `declare` (a Content-Length
    that is not the body's).
    """

    delay: float
    status: int
    size: int
    chunks: int
    declare: int | None
    hang: str | None
    reset: str | None
    crash: int | None

    @classmethod
    def from_query(cls) -> Orders:
        """The orders in the current request; answers 400 to those that cannot be."""
        known = set(cls.__dataclass_fields__)
        unknown = set(request.args) - known
        if unknown:
            abort(400, f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        return cls(
            delay=_number("delay", 0, MAX_SECONDS) or 0.0,
            status=_whole("status", 200, 599) or 200,
            size=_whole("size", 0, MAX_SIZE) or 0,
            chunks=_whole("chunks", 0, 100_000) or 0,
            declare=_whole("declare", 0, MAX_SIZE),
            hang=_moment("hang"),
            reset=_moment("reset"),
            crash=_whole("crash", 0, 255),
        )


def who() -> dict[str, int | str]:
    """The process and the thread that run this request."""
    return {"pid": os.getpid(), "thread": threading.get_ident(),
            "name": threading.current_thread().name}  # fmt: skip


@app.get("/")
@app.get("/test")
def test() -> Response:
    return jsonify(who())


@app.get("/sleep")
def sleep() -> Response:
    seconds = _number("seconds", 0, MAX_SECONDS)
    seconds = 1.0 if seconds is None else seconds
    time.sleep(seconds)
    return jsonify({**who(), "slept": seconds})


@app.route("/misbehave", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
def misbehave() -> Response:
    orders = Orders.from_query()
    # Now, because a body is made when the request's context is gone, on any thread.
    client = Client.of(request.environ)
    time.sleep(orders.delay)
    if orders.crash is not None:
        os._exit(orders.crash)
    if orders.hang == "headers":
        time.sleep(MAX_SECONDS)
    if orders.reset == "headers":
        reset_connection(client)
    body: Iterator[bytes] | bytes = b"x" * orders.size
    if orders.chunks or orders.hang == "body" or orders.reset == "body":
        body = _in_parts(orders, client)
    response = Response(body, orders.status, mimetype="application/octet-stream")
    if orders.declare is not None:
        response.headers["Content-Length"] = str(orders.declare)
        response.automatically_set_content_length = False
    return response


@dataclass(frozen=True, slots=True)
class Client:
    """Who made a request: by the server's socket for it where the server hands that over, which is
    more than WSGI asks for, else by the client's address."""

    sock: socket.socket | None
    address: tuple[str, int]

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Client:
        sock = environ.get("werkzeug.socket") or environ.get("gunicorn.socket")
        return cls(sock, (environ["REMOTE_ADDR"], int(environ.get("REMOTE_PORT") or 0)))

    def sockets(self) -> Iterator[socket.socket]:
        """All are asked for their address only where it must be: Wine 10's server has ended when
        one was asked that another thread was closing ("sock_poll_event")."""
        if self.sock is not None:
            yield self.sock
            return
        for thing in _all_of(socket.socket):
            with suppress(OSError):
                if thing.getpeername() == self.address:
                    yield thing


def reset_connection(client: Client) -> None:
    """Cut the connection to `client` so that it sees a reset, not an end."""
    for sock in client.sockets():
        try:
            # Linger on, for no time: closing discards what is unsent and sends RST.
            sock.setsockopt(
                socket.SOL_SOCKET,
                socket.SO_LINGER,
                struct.pack("hh" if os.name == "nt" else "ii", 1, 0),
            )
        except OSError:
            continue
        _close_under(sock)
        return
    abort(501, "this server does not say which connection a request came by")


def _all_of(kind: type[Any]) -> Iterator[Any]:
    """The objects of that kind, by their own type: isinstance() asks what a proxy stands for."""
    return (thing for thing in gc.get_objects() if issubclass(type(thing), kind))


def _close_under(sock: socket.socket) -> None:
    """Close the connection itself: the server's own close would first shut it down in order."""
    if _its_loop_closes(sock):
        return
    if os.name == "nt":
        socket.close(sock.detach())
        return
    # An ended connection takes its descriptor over. With the number free, the next client would
    # get it while the loop of a server may still watch it for this one.
    ended, other = socket.socketpair()
    other.close()
    os.dup2(ended.fileno(), sock.fileno(), inheritable=False)
    ended.close()


def _its_loop_closes(sock: socket.socket) -> bool:
    """Have Tornado or waitress close the connection, which they do without a shutdown.

    Their loops watch it, and on Windows select() fails for good when it is closed under them.
    """
    loops = (("tornado.iostream", "IOStream", _tornado_closes),
             ("waitress.channel", "HTTPChannel", _waitress_closes))  # fmt: skip
    for module, name, close in loops:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is None:
            continue
        for thing in _all_of(kind):
            # One that another thread is just making has no socket yet.
            if getattr(thing, "socket", None) is sock:
                close(thing)
                return True
    return False


def _tornado_closes(stream: Any) -> None:
    import asyncio  # here, because backends that do without it start faster

    if asyncio._get_running_loop() is None:  # on a thread of the executor
        stream.io_loop.add_callback(stream.close)
    else:
        stream.close()


def _waitress_closes(channel: Any) -> None:
    channel.will_close = True
    channel.server.pull_trigger()
    while channel.connected:
        time.sleep(0.001)


def _in_parts(orders: Orders, client: Client) -> Iterator[bytes]:
    parts = max(orders.chunks, 2 if orders.hang or orders.reset else 1)
    size, rest = divmod(orders.size, parts)
    for part in range(parts):
        if part == parts // 2 and orders.hang == "body":
            time.sleep(MAX_SECONDS)
        if part == parts // 2 and orders.reset == "body":
            reset_connection(client)
        yield b"x" * (size + (part < rest))


def _number(name: str, low: float, high: float) -> float | None:
    text = request.args.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        abort(400, f"{name}={text}: a number from {low:g} to {high:g}")
    return value


def _whole(name: str, low: int, high: int) -> int | None:
    value = _number(name, low, high)
    if value is not None and value != int(value):
        abort(400, f"{name}={value}: a whole number")
    return None if value is None else int(value)


def _moment(name: str) -> str | None:
    text = request.args.get(name)
    if text is not None and text not in MOMENTS:
        abort(400, f"{name}={text}: one of {', '.join(MOMENTS)}")
    return text
