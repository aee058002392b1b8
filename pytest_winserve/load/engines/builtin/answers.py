"""Answers as the built-in engine reads them: parsed once, then known again byte by byte."""

from __future__ import annotations

import httptools

from pytest_winserve.load.plan import Request
from pytest_winserve.load.recording.tally import Times
from pytest_winserve.load.recording.wire import Route
from pytest_winserve.tags import BACKEND_HEADER

MARK = BACKEND_HEADER.lower().encode()
MARK_SIZE = len(MARK)


class Head:
    """What the head of an answer says: enough to take an equal one, byte by byte, as read.

    Servers repeat heads (the date changes once a second), and comparing one is much cheaper than
    parsing it again. Only answers with a known length that came in one piece are remembered.
    """

    __slots__ = ("keep", "services", "size", "totals")

    def __init__(self, keep: bool, size: int, times: Times) -> None:
        self.keep = keep
        self.size = size
        """Length of the whole answer, less that of its head without the empty line."""
        self.totals = times.totals
        self.services = times.services


class KnownRoute(Route):
    """A request, and what is known of answers to it.

    `heads` are those seen; `answer` is the last whole one, if short, and `answer_head` its head:
    comparing all of it is cheaper than finding its head.
    """

    __slots__ = ("answer", "answer_head", "heads")

    answer_head: Head

    def __init__(
        self, index: int, request: Request, host: str, tag: str | None, keepalive: bool
    ) -> None:
        super().__init__(index, request, host, tag, keepalive)
        self.answer = b""
        self.heads: dict[bytes, Head] = {}


class Parse:
    """The answer that is being read, by httptools; and whether it is complete."""

    __slots__ = (
        "backend",
        "chunked",
        "complete",
        "extra",
        "headers",
        "keep",
        "length",
        "location",
        "parser",
        "status",
    )

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        self.backend: bytes | None = None
        self.length: int | None = None
        self.location = b""
        self.chunked = False
        self.headers = False
        self.keep = False
        self.status = 0
        self.complete = False
        self.extra = False

    def on_message_begin(self) -> None:
        if self.complete:
            self.extra = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            self.length = int(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            self.chunked = True
        elif size == MARK_SIZE and name.lower() == MARK:
            self.backend = value
        elif size == 8 and name.lower() == b"location":
            self.location = value

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.headers = True
            self.status = self.parser.get_status_code()

    def on_message_complete(self) -> None:
        if not self.complete:
            if self.status < 200:
                self.reset()  # an interim answer (100, 103): the real one follows
            else:
                self.complete = True
                self.keep = self.parser.should_keep_alive()  # only here does it know


def head_keeps(data: bytes) -> bool:
    # For answers to HEAD the parser waits for the body, so its own opinion is not to be had.
    head = data.lower()
    return head.startswith(b"http/1.1") and b"\r\nconnection: close" not in head
