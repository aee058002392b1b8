"""An app that answers as the request orders, in whatever way WSGI allows.

The order is JSON, in the query string. What happened to the body of the request that had the
order's `id` is told by `/events?ID`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EVENTS: dict[str, list[str]] = {}
FILE_SIZE = 100_000


class Body:
    """Pieces, and what is to happen at one of them."""

    def __init__(self, order: dict[str, Any], events: list[str]) -> None:
        self._pieces = pieces(order)
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._events.append("closed")


class Sized(Body):
    """It knows how many pieces it has."""

    def __init__(self, order: dict[str, Any], events: list[str]) -> None:
        super().__init__(order, events)
        self._length = len(order["sizes"])

    def __len__(self) -> int:
        return self._length


def pieces(order: dict[str, Any]) -> Iterator[bytes]:
    for number, size in enumerate(order["sizes"]):
        if order["raises"] == f"at {number}":
            raise LookupError("ordered")
        yield bytes([97 + number % 26]) * size


def generator(order: dict[str, Any], events: list[str]) -> Iterator[bytes]:
    try:
        yield from pieces(order)
    finally:
        events.append("ended")


def opened(size: int) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it
    file.write(bytes(range(250)) * (size // 250))
    file.seek(0)
    return file


BODIES: dict[str, Callable[[dict[str, Any], list[str]], Iterable[bytes]]] = {
    "list": lambda order, events: list(pieces(order)),
    "tuple": lambda order, events: tuple(pieces(order)),
    "iterator": lambda order, events: iter(list(pieces(order))),
    "generator": generator,
    "object": Body,
    "sized": Sized,
}


def body_of(order: dict[str, Any], events: list[str], environ: WSGIEnvironment) -> Iterable[bytes]:
    if order["body"] == "file":
        wrapper, file = environ.get("wsgi.file_wrapper"), opened(order.get("size", FILE_SIZE))
        return wrapper(file) if wrapper is not None else [file.read()]
    return BODIES[order["body"]](order, events)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    query = unquote(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/events":
        told = json.dumps(EVENTS.get(query)).encode()
        start_response("200 OK", [("Content-Length", str(len(told)))])
        return [told]
    if not query:
        start_response("200 OK", [("Content-Length", "5")])
        return [b"ready"]
    order = json.loads(query)
    events = EVENTS.setdefault(order["id"], [])
    if order["reads"]:
        # Not beyond its end: some servers would wait for more there.
        size = min(order["reads"], int(environ.get("CONTENT_LENGTH") or 0))
        events.append(str(len(environ["wsgi.input"].read(size))))
    if order["raises"] == "before":
        raise LookupError("ordered")
    headers = [(name, value) for name, value in order["headers"]]
    start: Any = start_response
    if order["start"] == "keyword":
        write = start(order["status"], headers, exc_info=None)
    elif order["start"] == "again":
        start("200 OK", [("X-First", "never sent")])
        try:
            raise LookupError("replaced")
        except LookupError:
            write = start(order["status"], headers, sys.exc_info())
    else:
        write = start(order["status"], headers)
    if order["writes"]:
        write(b"w" * order["writes"])
    if order["raises"] == "after start":
        raise LookupError("ordered")
    return body_of(order, events, environ)
