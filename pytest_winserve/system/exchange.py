"""GET requests with an end: a deadline for each whole exchange, and a bound on what is read of it.

A socket's own timeout is for one step, and a server that sends a byte now and then never meets it.
All exchanges of a group go on in the thread that asked for them. It never waits long at a time, so
that Ctrl-C ends them at once, on Windows too.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import httptools

from pytest_winserve.system.header_fields import merged
from pytest_winserve.system.ports import Address
from pytest_winserve.system.program import Deadline
from pytest_winserve.system.trust import Trust

BODY_SECONDS = 20.0
"""How long an answer may go on after its head."""
LARGEST_HEAD = 2**20
LARGEST_ANSWER = 2**30
"""Bytes of an answer that are read; what is longer is taken to have no end."""
LOOK_EVERY = 0.05
PER_SELECTOR = 500 if sys.platform == "win32" else sys.maxsize
"""How many sockets one selector takes: select() of Windows watches 512 at most."""
_PART = 2**16


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, reason and headers (names in lower case) of an answer."""

    status: int
    reason: str
    headers: Mapping[str, str]


class Get:
    """One GET and its answer, on a connection of its own.

    `started` and `ended` are seconds on the performance counter; `ended` is None while it is under
    way. `answer` is there as soon as its head is; `error` says why it is not whole. `endless`: what
    came has no end, as far as anyone wants to wait or read. `late`: nothing of it came in time.
    """

    def __init__(
        self,
        address: Address,
        path: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        connect_by: Deadline,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.path = path
        self.started = time.perf_counter()
        self.ended: float | None = None
        self.answer: Answer | None = None
        self.error: str | None = None
        self.endless = False
        self.late = False
        self._deadline = deadline
        self._connected = False
        self._shaking: int | None = None if context is None else selectors.EVENT_WRITE
        self._connect_by = connect_by
        self._size = 0
        self._reader = _Reader()
        own = {"Host": "{}:{}".format(*address), "Accept-Encoding": "identity"}
        fields = merged(own, headers)
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._unsent = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            if context is not None:
                self._socket = context.wrap_socket(
                    self._socket, do_handshake_on_connect=False, server_hostname=address[0]
                )
            # Some systems know a refusal at once, and do not tell it again.
            self._judge_connect(self._socket.connect_ex(address))
        except OSError as error:
            self._fail(_text(error))
        except BaseException:  # Ctrl-C
            self.close()
            raise

    @property
    def connection(self) -> socket.socket | None:
        """Its connection, while it is under way."""
        return self._socket

    @property
    def waits_for(self) -> int:
        """What its connection is watched for."""
        if self._shaking is not None:
            return self._shaking
        return selectors.EVENT_WRITE if self._unsent else selectors.EVENT_READ

    def go_on(self) -> None:
        """Do what can be done without waiting, now that its connection is ready."""
        assert self._socket is not None
        try:
            if self._shaking is not None:
                self._shake(self._socket)
            elif self._unsent:
                self._send(self._socket)
            else:
                self._take(self._socket.recv(_PART))
        except (BlockingIOError, InterruptedError):
            return
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # a part of a record, which is no data yet
        except OSError as error:
            self._fail(_text(error))

    def look_at_the_clock(self, now: float) -> None:
        """End it when its time is over."""
        if now < (self._deadline if self._connected else self._connect_by).at:
            return
        self.late = self._connected and not self._size
        if self.answer is not None:
            self._fail_endless("does not end")
        elif self._size:
            self._fail("its headers do not end")
        elif self._connected:
            self._fail("connected, but there was no answer")
        else:
            self._fail("timed out while connecting")

    def without(self, option: str) -> str:
        """What is wrong with an endless answer, and the option that names another path."""
        assert self.ended is not None
        came = f"{self._size} bytes came in {self.ended - self.started:.1f} s"
        return f"{self.error}: name another path with {option} ({came})"

    def close(self) -> None:
        """End it, whatever is under way."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.ended is None:
            self.ended = time.perf_counter()
            self.error = "given up"

    @staticmethod
    def _judge_connect(code: int) -> None:
        """Raise OSError unless a connect has worked, or goes on."""
        if code and code not in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            of_windows: dict[int, str] = getattr(socket, "errorTab", {})
            raise OSError(code, of_windows.get(code) or os.strerror(code))

    def _shake(self, sock: socket.socket) -> None:
        """Go on with the TLS handshake, once it is connected."""
        assert isinstance(sock, ssl.SSLSocket)
        self._judge_connected(sock)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._shaking = selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            self._shaking = selectors.EVENT_WRITE
        else:
            self._shaking = None

    def _judge_connected(self, sock: socket.socket) -> None:
        if not self._connected:
            self._judge_connect(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self._connected = True

    def _send(self, sock: socket.socket) -> None:
        self._judge_connected(sock)
        self._unsent = self._unsent[sock.send(self._unsent) :]

    def _take(self, data: bytes) -> None:
        reader = self._reader
        self._size += len(data)
        if not data:
            if reader.ends_with_connection:
                self._end()
            elif self._size:
                self._fail("Remote end closed connection before the answer was complete")
            else:
                self._fail("Remote end closed connection without response")
            return
        try:
            reader.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not reader.complete:  # what follows a whole answer is nobody's
                self._fail(f"what came is not HTTP: {error}")
                return
        if self.answer is None and reader.status:
            self.answer = Answer(reader.status, reader.reason, reader.headers)
            self._deadline = Deadline(min(self._deadline.at, time.perf_counter() + BODY_SECONDS))
        if reader.complete:
            self._end()
        elif self.answer is None and self._size > LARGEST_HEAD:
            self._fail_endless("its headers do not end")
        elif self._size > LARGEST_ANSWER:
            self._fail_endless("does not end")

    def _end(self) -> None:
        self.ended = time.perf_counter()
        self.close()

    def _fail(self, error: str) -> None:
        self.error = error
        self._end()

    def _fail_endless(self, error: str) -> None:
        self.endless = True
        self._fail(error)


Headers = Mapping[str, str] | Callable[[str], Mapping[str, str]]
"""Header fields, or what gives those of a request for a path."""


class Exchanges:
    """Exchanges with one address that go on beside each other; leaving the context ends them all.

    `look` is called every moment, and ends them by what it raises. `headers` are those of every
    exchange, beside its own, or say which an exchange for a path has. They go over TLS where there
    is something to trust.
    """

    def __init__(
        self,
        address: Address,
        look: Callable[[], None] = lambda: None,
        headers: Headers = MappingProxyType({}),
        trust: Trust | None = None,
    ) -> None:
        self._address = address
        self._context = None if trust is None else trust.context()
        self._look = look
        self._headers = headers
        self._look_at = 0.0
        self._open: dict[Get, selectors.BaseSelector] = {}
        self._selectors: list[selectors.BaseSelector] = []

    def __enter__(self) -> Exchanges:
        return self

    def __exit__(self, *_: object) -> None:
        for get in self._open:
            get.close()
        self._open.clear()
        for selector in self._selectors:
            selector.close()

    def get(
        self,
        path: str,
        headers: Mapping[str, str],
        deadline: Deadline,
        connect_by: Deadline | None = None,
    ) -> Get:
        """Begin a GET, which is to be over at `deadline`, and connected at `connect_by` if given:
        the listen queue of a busy server may make it wait long."""
        usual = self._headers(path) if callable(self._headers) else self._headers
        fields = merged(usual, headers)
        connect_by = connect_by or deadline
        get = Get(self._address, path, fields, deadline, connect_by, self._context)
        if get.connection is not None:
            selector = self._roomy_selector()
            selector.register(get.connection, get.waits_for, get)
            self._open[get] = selector
        return get

    def go_on(self, seconds: float) -> None:
        """Let those under way go on for so long, or until one of them gets a step further."""
        now = time.perf_counter()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._look()
        for get in self._ready(seconds):
            connection, awaited = get.connection, get.waits_for
            assert connection is not None
            get.go_on()
            if get.ended is not None:
                self._forget(get, connection)
            elif get.waits_for != awaited:
                self._open[get].modify(connection, get.waits_for, get)
        now = time.perf_counter()
        for get in list(self._open):
            connection = get.connection
            assert connection is not None
            get.look_at_the_clock(now)
            if get.ended is not None:
                self._forget(get, connection)

    def go_on_until(self, at: float) -> None:
        """Let those under way go on until this moment of the performance counter."""
        while (left := at - time.perf_counter()) > 0:
            self.go_on(min(left, LOOK_EVERY))

    def finish(self) -> None:
        """Return when none is under way any more."""
        while self._open:
            self.go_on(LOOK_EVERY)

    def _roomy_selector(self) -> selectors.BaseSelector:
        for selector in self._selectors:
            if len(selector.get_map()) < PER_SELECTOR:
                return selector
        self._selectors.append(selectors.DefaultSelector())
        return self._selectors[-1]

    def _ready(self, seconds: float) -> Iterator[Get]:
        """Those whose connections are ready, within so many seconds."""
        if not self._open:
            time.sleep(seconds)
            return
        watched = [selector for selector in self._selectors if selector.get_map()]
        each = seconds / len(watched)
        for selector in watched:
            for key, _ in selector.select(each):
                yield key.data

    def _forget(self, get: Get, connection: socket.socket) -> None:
        self._open.pop(get).unregister(connection)


class _Reader:
    """An answer as it is read, without its body."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.complete = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}

    @property
    def ends_with_connection(self) -> bool:
        """Whether neither a length nor chunks say where it ends."""
        sized = {"content-length", "transfer-encoding"}
        return bool(self.status) and sized.isdisjoint(self.headers)

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # not what follows a body in chunks
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status >= 200 and not self.complete:
            self.status = status

    def on_message_complete(self) -> None:
        if self.status:
            self.complete = True
        else:
            self._begin()  # an interim answer (100, 103): the real one follows


def _text(error: OSError) -> str:
    return str(error) or type(error).__name__
