"""An app that is slow in several ways, by path; the time is in the query."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PARTS = 10


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path, seconds = environ["PATH_INFO"], float(environ["QUERY_STRING"] or 0)
    if path == "/sleep":
        time.sleep(seconds)
    elif path == "/compute":
        compute(seconds)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return stream(seconds)
    if path == "/events":
        return events(seconds)
    return [b"done"]


def compute(seconds: float) -> None:
    """Never gives up the interpreter by itself."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def stream(seconds: float) -> Iterator[bytes]:
    for _ in range(PARTS):
        time.sleep(seconds / PARTS)
        yield b"a part\n"


def events(pause: float) -> Iterator[bytes]:
    """Has no end."""
    while True:
        time.sleep(pause)
        yield b"data: news\n\n"
