"""The connection of one user of Locust, below Locust's own client; imported in its workers only.

geventhttpclient, which that client stands on, sends a GET, HEAD, PUT or DELETE once more, unseen,
whenever the connection closes without an answer (`HTTPClient.request`, up to 11 times), and finds
out whether a kept connection is alive with select(), which knows 1024 descriptors. Neither could be
counted. So what lies between Locust's client and the parser of answers is this channel: it sends
the bytes that the built-in engine sends, once.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse
from locust.contrib.fasthttp import FastResponse, LocustUserAgent

from pytest_winserve.load.recording.wire import classify
from pytest_winserve.system.trust import Trust


class Sent(Protocol):
    """A request as the bytes to send."""

    @property
    def data(self) -> bytes: ...


class OutOfTime(TimeoutError):  # noqa: N818 - it says what is the case
    """The request as a whole took longer than the plan's timeout."""


class _Noting:
    """A socket that notes when the answer began, and whether the server ended it."""

    first = 0.0
    ended = False
    _looking: tuple[int, ...] = (1, socket.MSG_PEEK)
    """What is given to `recv` to see whether anything is there."""
    _nothing: type[OSError] = BlockingIOError

    def recv(self, *args: Any) -> bytes:
        data: bytes = super().recv(*args)  # type: ignore[misc]
        if not data:
            self.ended = True
        elif not self.first:
            self.first = perf_counter()
        return data

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor sent anything unasked."""
        self.settimeout(0.0)  # type: ignore[attr-defined]
        try:
            super().recv(*self._looking)  # type: ignore[misc]
        except self._nothing:
            return True
        except OSError:
            return False
        finally:
            self.settimeout(None)  # type: ignore[attr-defined]
        return False


class Socket(_Noting, gevent.socket.socket):
    """Over TCP."""


class SecureSocket(_Noting, gevent.ssl.SSLSocket):
    """Over TLS. What TLS sends for itself, such as session tickets, is read by a look."""

    _looking = (1,)
    _nothing = ssl.SSLWantReadError


class Tls(NamedTuple):
    """How a channel is secured: by what, and the name that the certificate must have."""

    context: ssl.SSLContext
    name: str


def tls_of(job: Mapping[str, Any] | None) -> Tls | None:
    """What a job says of it (`Target.tls`)."""
    if job is None:
        return None
    context = Trust(job["ca"], job["insecure"]).context()
    context.sslsocket_class = SecureSocket
    return Tls(context, job["name"])


class Channel:
    """At most one connection, which is kept between requests when both sides keep it.

    It has the methods that geventhttpclient wants of a pool of clients (`get_client`), of a client
    (`request`), and of a pool of sockets (`return_socket`, `release_socket`).
    """

    def __init__(self, address: tuple[str, int], tls: Tls | None = None) -> None:
        self._address = address
        self._tls = tls
        self._kept: Socket | SecureSocket | None = None
        self._socket: Socket | SecureSocket | None = None
        self._route: Sent
        self._sent_at = 0.0
        self._connecting = self._shaking = False
        self._error: BaseException | None = None
        self.connect_seconds: float | None = None
        """How long the request's connect took; None when it failed, or was not needed."""
        self.tls_seconds: float | None = None
        """The same of the TLS handshake."""

    @property
    def is_open(self) -> bool:
        """Whether the next request needs no connect."""
        if self._kept is not None and not self._kept.is_quiet():
            self.close()
        return self._kept is not None

    def prepare(self, route: Sent) -> None:
        """Say what the next `request` is to send."""
        self._route = route
        self._socket = None
        self._connecting = self._shaking = False
        self._error = None
        self.connect_seconds = self.tls_seconds = None

    @property
    def first_byte_seconds(self) -> float:
        """From writing the request to the first byte of its answer."""
        assert self._socket is not None
        return max(0.0, self._socket.first - self._sent_at)

    def outcome(self, error: BaseException | None, status: int) -> tuple[str, str]:
        """The outcome of the request, and for "client_limit" which limit it was.

        `error` is what Locust has; when this channel saw one before that, that one counts.
        """
        error = self._error or error
        if error is None:
            return str(status), ""
        if isinstance(error, OutOfTime):
            waited = "tls_" if self._shaking else "connect_" if self._connecting else ""
            return f"{waited}timeout", ""
        if self._shaking or isinstance(error, ssl.SSLError):
            return "tls_failed", ""
        if isinstance(error, HTTPConnectionClosed):
            # geventhttpclient makes this of a reset, too.
            reset = isinstance(error.__context__, ConnectionResetError)
            return "reset" if reset else "closed_early", ""
        if isinstance(error, HTTPParseError):
            ended = self._socket is not None and self._socket.ended
            return "closed_early" if ended else "bad_response", ""
        return classify(error)

    def get_client(self, _url: object) -> Channel:
        return self

    def request(self, method: str, _uri: str, **_: object) -> HTTPSocketPoolResponse:
        try:
            sock = self._socket = self._take()
            sock.first = 0.0
            self._sent_at = perf_counter()
            try:
                sock.sendall(self._route.data)
            except BaseException:
                sock.close()
                raise
            response = HTTPSocketPoolResponse(sock, self, method=method.upper())
        except Exception as error:
            self._error = error
            raise
        response._sent_request = ""
        return response

    def _take(self) -> Socket | SecureSocket:
        if self.is_open:
            kept, self._kept = self._kept, None
            assert kept is not None
            return kept
        self._connecting = True
        began = perf_counter()
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        sock = Socket(family, socket.SOCK_STREAM)
        try:
            sock.connect(self._address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        self._connecting = False
        self.connect_seconds = perf_counter() - began
        return sock if self._tls is None else self._secured(sock, self._tls)

    def _secured(self, sock: Socket, tls: Tls) -> SecureSocket:
        began, self._shaking = perf_counter(), True
        try:
            made = tls.context.wrap_socket(sock, server_hostname=tls.name)
        except BaseException:
            sock.close()
            raise
        assert isinstance(made, SecureSocket)
        self._shaking = False
        self.tls_seconds = perf_counter() - began
        return made

    def return_socket(self, sock: Socket | SecureSocket) -> None:
        """The answer is whole, and the connection stays."""
        self._kept = sock

    def release_socket(self, sock: Socket | SecureSocket) -> None:
        """The connection is over."""
        with contextlib.suppress(OSError):
            sock.close()

    def close(self) -> None:
        if self._kept is not None:
            self.release_socket(self._kept)
            self._kept = None


class CountedResponse(FastResponse):
    """An answer whose body is read as it is: nobody asked for it to be unpacked."""

    def _content(self) -> bytes:
        body: bytes = self._response.read()
        self.release()
        return body


class Agent(LocustUserAgent):
    """Takes every status for an answer, and goes nowhere else."""

    response_type = CountedResponse
    valid_response_codes = frozenset(range(1000))
    redirect_response_codes: frozenset[int] = frozenset()

    def __init__(self, channel: Channel) -> None:
        super().__init__(client_pool=channel, max_retries=0, max_redirects=0)
