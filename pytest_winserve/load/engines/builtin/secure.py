"""TLS of the built-in engine: connections whose handshake has a time and outcomes of its own."""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
import ssl
import sys
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_winserve.load.engines.builtin.connection import Conn
from pytest_winserve.load.engines.builtin.event_loops import (
    AsyncioConnecting,
    AsyncioLoop,
    Connecting,
    ConnectionClient,
    Loop,
)

if TYPE_CHECKING:
    import asyncio


class Tls(NamedTuple):
    """How a connection is secured: by what, and the name that its certificate must have."""

    context: ssl.SSLContext
    name: str


class SecureConn(Conn):
    """A connection whose first request is sent when its handshake is over."""

    __slots__ = ("shaking",)

    def connect(self, user: Any, now: float) -> None:
        self.shaking = False
        super().connect(user, now)

    def connected(self, at: float) -> None:
        """The TCP connection is made; its handshake begins."""
        if self.user is None:
            return
        tally = self.run.tally
        if at >= tally.second_end:
            tally.roll(at)
        tally.connects.append(int((at - self.began) * 1e6))
        self.began = at
        self.shaking = True

    def connection_made(self, transport: Any, at: float | None = None) -> None:
        self.transport = transport
        user = self.user
        if user is None:
            transport.abort()  # it was given up in the same moment
            return
        self.made, self.shaking = True, False
        now = perf_counter()
        tally = self.run.tally
        if now >= tally.second_end:
            tally.roll(now)
        tally.handshakes.append(int((now - self.began) * 1e6))
        self.route = user.route
        self.waiting = True
        self.sent_at = now
        transport.write(user.route.data)

    def connect_failed(self, error: OSError) -> None:
        if not self.shaking:
            super().connect_failed(error)
        elif self.user is not None:
            user, self.user = self.user, None
            user.conn = None
            self.run.failed(user, "tls_failed")

    def give_up(self) -> str:
        super().give_up()
        return "tls_timeout" if self.shaking else "connect_timeout"

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting and isinstance(exc, ssl.SSLError):
            self.run.lingering.pop(self, None)
            self._failed("tls_failed")
        else:
            super().connection_lost(exc)


def secure_kind(kind: type[Conn]) -> type[Conn]:
    """Connections of a kind, secured."""
    return type(f"Secure{kind.__name__}", (SecureConn, kind), {"__slots__": ()})


def secure_loop(tls: Tls) -> Loop:
    """The best loop that this system has, with all of its connections secured."""
    if sys.platform == "linux":
        return SecureReactor(tls)
    else:  # noqa: RET505 - type checkers follow one platform only
        return SecureAsyncioLoop(tls)


class SecureAsyncioLoop(AsyncioLoop):
    """asyncio's own TLS."""

    def __init__(self, tls: Tls) -> None:
        super().__init__()
        self._tls = tls

    def connection(self, client: ConnectionClient, address: tuple[str, int]) -> Connecting:
        return _SecureConnecting(self._loop, client, address, self._tls)


class _SecureConnecting(AsyncioConnecting):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: Any, address: tuple[str, int], tls: Tls
    ) -> None:
        super().__init__(loop, client, address)
        self._client: Any = client
        self._tls = tls

    async def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self._loop.sock_connect(sock, self._address)
                self._client.connected(perf_counter())
                await self._loop.create_connection(
                    lambda: self._client,
                    sock=sock,
                    ssl=self._tls.context,
                    server_hostname=self._tls.name,
                )
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            self._client.connect_failed(error)


if sys.platform == "linux":
    from pytest_winserve.load.engines.builtin.event_loops import Link, Reactor

    FAILED = select.EPOLLHUP | select.EPOLLERR
    # Levels, not edges: what OpenSSL has not read yet is told again, without another read.
    READ = select.EPOLLIN | select.EPOLLRDHUP
    WRITE = READ | select.EPOLLOUT
    NONBLOCKING = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    IN_PROGRESS = errno.EINPROGRESS
    READ_BYTES = 16384
    """A record has no more."""

    class SecureReactor(Reactor):
        """An epoll whose connections are secured."""

        def __init__(self, tls: Tls) -> None:
            super().__init__()
            self.tls = tls

        def connection(self, client: ConnectionClient, address: tuple[str, int]) -> Link:
            return SecureLink(self, client, address)

    class SecureLink(Link):
        """A TLS connection; OpenSSL reads and writes the socket itself."""

        __slots__ = ("_secure", "_shaken", "_watched")

        _loop: SecureReactor
        _client: Any

        def open(self, data: bytes) -> None:
            self._connected = self._shaken = False
            self._client.ended = False
            try:
                # Not _socket.socket: OpenSSL's object has to refer to it weakly.
                sock = self._socket = socket.socket(self._family, NONBLOCKING)
                error = sock.connect_ex(self._address)
                if error not in (0, IN_PROGRESS):
                    raise OSError(error, os.strerror(error))
                self._fd = sock.fileno()
                tls = self._loop.tls
                self._secure = tls.context._wrap_socket(  # type: ignore[attr-defined]
                    sock, False, server_hostname=tls.name
                )
                self._watched = WRITE
                self._loop.epoll.register(self._fd, WRITE)
                self._loop.links[self._fd] = self
            except OSError as refusal:
                self.clear()
                self._client.connect_failed(refusal)

        def ready(self, events: int) -> None:
            sock = self._socket
            if sock is None:
                return
            if not self._connected:
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    self.clear()
                    self._client.connect_failed(OSError(error, os.strerror(error)))
                    return
                self._connected = True
                self._client.connected(perf_counter())
            if not self._shaken:
                self._shake()
                return
            if self._unsent and events & select.EPOLLOUT:
                self._send_rest()
            if events & (READ | FAILED):
                self._read(sock)

        def _shake(self) -> None:
            try:
                self._secure.do_handshake()
            except ssl.SSLWantReadError:
                self._watch(READ)
            except ssl.SSLWantWriteError:
                self._watch(WRITE)
            except OSError as error:
                self.clear()
                self._client.connect_failed(error)
            else:
                self._shaken = True
                self._watch(READ)
                self._client.connection_made(self)

        def _read(self, sock: _socket.socket) -> None:
            try:
                data = self._secure.read(READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                data = b""
            except OSError as error:
                self._lose(error, sock)
                return
            if data:
                self._client.data_received(data)
            else:
                self._client.eof_received()
                self._lose(None, sock)

        def write(self, data: bytes) -> None:
            sock = self._socket
            if sock is None:
                return
            if self._unsent:
                self._unsent += data
                return
            try:
                sent = self._secure.write(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sent = 0
            except OSError as error:
                self._loop.soon.append(partial(self._lose, error, sock))
                return
            self._unsent = data[sent:]
            self._watch(WRITE if self._unsent else READ)

        def _watch(self, events: int) -> None:
            if events != self._watched:
                self._watched = events
                self._loop.epoll.modify(self._fd, events)

        def clear(self) -> None:
            self._secure = None
            super().clear()
