"""What the built-in engine waits with: epoll itself where there is one, else asyncio.

A loop calls back a `Conn`-like protocol (`asyncio.Protocol` with `connect_failed`) and has timers.
On Linux every request costs a few system calls and as little Python as possible: asyncio's
transports, tasks and futures, even uvloop's, cost more than the rest of a request.
"""

from __future__ import annotations

import _socket
import errno
import heapq
import importlib
import itertools
import os
import select
import selectors
import socket
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio


FAST_LOOP = {"win32": "winloop", "darwin": "uvloop"}.get(sys.platform)
"""None on Linux, where the engine has a loop of its own."""


READ_BYTES = 65536


class Transport(Protocol):
    """A connection as the one who uses it sees it."""

    def write(self, data: bytes, /) -> None: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...

    def is_closing(self) -> bool: ...


class Handle(Protocol):
    """Something that can be called off."""

    def cancel(self) -> None: ...


class Connecting(Handle, Protocol):
    """A connection to be made, and made again after it has ended."""

    def open(self, data: bytes, /) -> None:
        """Begin to connect; it may be done when this returns.

        `data` is what the client will send first: a loop that can sends it with the connect and
        says so.
        """

    def clear(self) -> None:
        """Close what has ended, without a word: the client has been told, by `ended`."""


class ConnectionClient(Protocol):
    """Who uses a connection; the calls are those of `asyncio.Protocol`, and one more.

    `ended` is set by a loop that knows, when it hands over data, that it is the last: the server
    has closed. The client may then leave the rest to it, or open the connection again at once.
    """

    ended: bool

    def connection_made(self, transport: Any, at: float | None = None, /) -> None:
        """`at` is when, by the performance counter, if the loop has sent the first data since."""

    def connect_failed(self, error: OSError, /) -> None: ...

    def data_received(self, data: bytes, /) -> None: ...

    def eof_received(self) -> bool | None: ...

    def connection_lost(self, exc: Exception | None, /) -> None: ...

    def pause_writing(self) -> None:
        """For asyncio: much is waiting to be sent."""

    def resume_writing(self) -> None:
        """For asyncio: it has been sent."""


class Loop(Protocol):
    """What the engine asks of a loop. `sockets` is how many it can watch at most, None for no limit
    of its own."""

    @property
    def sockets(self) -> int | None: ...

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Handle: ...

    def connection(self, client: ConnectionClient, address: tuple[str, int]) -> Connecting: ...

    def run_forever(self) -> None:
        """Until `stop`. What a callback raises is raised here."""

    def stop(self) -> None: ...


def new_loop() -> Loop:
    """The best that this system has."""
    if sys.platform == "linux":
        return Reactor()
    else:  # noqa: RET505 - type checkers follow one platform only
        return AsyncioLoop()


class AsyncioLoop:
    """asyncio, with the faster loop where installed."""

    def __init__(self) -> None:
        self._loop = _asyncio_loop()
        self._error: BaseException | None = None
        self._loop.set_exception_handler(self._fail)
        self.call_later = self._loop.call_later
        self.stop = self._loop.stop

    @property
    def sockets(self) -> int | None:
        """Of select() on Windows 512 (FD_SETSIZE of CPython), elsewhere descriptors below 1024."""
        selector = getattr(self._loop, "_selector", None)
        if not isinstance(selector, selectors.SelectSelector):
            return None
        return 512 if sys.platform == "win32" else 1024

    def connection(self, client: ConnectionClient, address: tuple[str, int]) -> Connecting:
        return AsyncioConnecting(self._loop, client, address)

    def run_forever(self) -> None:
        self._loop.run_forever()
        if self._error is not None:
            raise self._error

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError | None):
            self._error = error
            self.stop()


class AsyncioConnecting:
    """A connection that asyncio makes."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, client: ConnectionClient, address: tuple[str, int]
    ) -> None:
        self._loop = loop
        self._client = client
        self._address = address
        self._task: asyncio.Task[None] | None = None

    def open(self, data: bytes) -> None:
        self._task = self._loop.create_task(self._connect())

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def clear(self) -> None:
        return  # `ended` is never told

    async def _connect(self) -> None:
        protocol: Any = self._client
        try:
            await self._loop.create_connection(lambda: protocol, *self._address)
        except OSError as error:
            self._client.connect_failed(error)


def _asyncio_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # here, because a worker on Linux starts faster without it

    try:
        fast: Any = importlib.import_module(FAST_LOOP) if FAST_LOOP else asyncio
    except ImportError:
        fast = asyncio  # on Windows Proactor, which has no limit of 512 sockets
    loop: asyncio.AbstractEventLoop = fast.new_event_loop()
    return loop


if sys.platform == "linux":
    FAILED = select.EPOLLHUP | select.EPOLLERR
    ENDED = select.EPOLLRDHUP | FAILED
    READ = select.EPOLLIN | ENDED
    IN_PROGRESS = errno.EINPROGRESS
    NONBLOCKING = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
    # Edges, not levels: one registration lasts for the life of a connection.
    READING = READ | select.EPOLLET
    EVERYTHING = READING | select.EPOLLOUT

    class Reactor:
        """An edge-triggered epoll and a heap of timers."""

        sockets: int | None = None

        def __init__(self) -> None:
            self.epoll = select.epoll()
            self.links: dict[int, Link] = {}
            self.soon: deque[Callable[[], None]] = deque()
            self._timers: list[_Timer] = []
            self._order = itertools.count()
            self._running = False

        def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> _Timer:
            timer = _Timer(perf_counter() + delay, next(self._order), callback, args)
            heapq.heappush(self._timers, timer)
            return timer

        def connection(self, client: ConnectionClient, address: tuple[str, int]) -> Link:
            return Link(self, client, address)

        def stop(self) -> None:
            self._running = False

        def run_forever(self) -> None:
            self._running = True
            poll, links, soon = self.epoll.poll, self.links, self.soon
            while self._running:
                for descriptor, events in poll(self._wait()):
                    link = links.get(descriptor)
                    if link is not None:
                        link.ready(events)
                while soon:
                    soon.popleft()()
                self._run_timers()

        def _wait(self) -> float:
            if self.soon:
                return 0.0
            if not self._timers:
                return -1.0
            return max(0.0, self._timers[0].when - perf_counter())

        def _run_timers(self) -> None:
            timers = self._timers
            now = perf_counter()
            while timers and timers[0].when <= now:
                timer = heapq.heappop(timers)
                if timer.callback is not None:
                    timer.callback(*timer.args)

    class _Timer:
        __slots__ = ("args", "callback", "order", "when")

        def __init__(
            self, when: float, order: int, callback: Callable[..., None], args: tuple[Any, ...]
        ) -> None:
            self.when = when
            self.order = order
            self.callback: Callable[..., None] | None = callback
            self.args = args

        def __lt__(self, other: _Timer) -> bool:
            return (self.when, self.order) < (other.when, other.order)

        def cancel(self) -> None:
            self.callback = None

    class Link:
        """A TCP connection, from before it is made until it is closed; and then the next one."""

        __slots__ = (
            "_address",
            "_client",
            "_connected",
            "_family",
            "_fd",
            "_loop",
            "_socket",
            "_unsent",
        )

        def __init__(
            self, loop: Reactor, client: ConnectionClient, address: tuple[str, int]
        ) -> None:
            self._loop = loop
            self._client = client
            self._address = address
            self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self._socket: _socket.socket | None = None
            self._fd = -1
            self._connected = False
            self._unsent = b""

        def open(self, data: bytes) -> None:
            loop, client = self._loop, self._client
            client.ended = False
            try:
                # Not socket.socket, which is this with a layer of Python around it.
                sock = self._socket = _socket.socket(self._family, NONBLOCKING)
                fd = self._fd = sock.fileno()
                error = sock.connect_ex(self._address)
                if error != IN_PROGRESS and error:
                    raise OSError(error, os.strerror(error))
                at = perf_counter()
                # On one machine it is connected by now, and that is told by the first data.
                try:
                    sent = sock.send(data)
                except BlockingIOError:
                    self._unsent = data
                    self._connected = False
                    loop.epoll.register(fd, EVERYTHING)
                else:
                    self._connected = True
                    if sent == len(data):
                        loop.epoll.register(fd, READING)
                    else:
                        self._unsent = data[sent:]
                        loop.epoll.register(fd, EVERYTHING)
                loop.links[fd] = self
            except OSError as refusal:
                self.clear()
                client.connect_failed(refusal)
            else:
                if self._connected:
                    client.connection_made(self, at)

        def ready(self, events: int) -> None:
            if not self._connected or self._unsent:
                self._writable(events)
                if not events & READ:
                    return
            client, sock, ended = self._client, self._socket, events & ENDED
            while sock is not None and self._socket is sock:  # a client may close, or open anew
                try:
                    data = sock.recv(READ_BYTES)
                except BlockingIOError:
                    return
                except OSError as error:
                    self._lose(error, sock)
                    return
                if not data:
                    client.eof_received()
                    self._lose(None, sock)
                    return
                # Less than what there was room for is all that there is. What comes later is
                # another edge, but for the end, which may have come before this was looked at.
                if len(data) == READ_BYTES:
                    client.data_received(data)
                elif ended:
                    client.ended = True
                    client.data_received(data)
                else:
                    client.data_received(data)
                    return

        def _writable(self, events: int) -> None:
            sock = self._socket
            if sock is None:
                return
            if self._connected:
                if events & select.EPOLLOUT:
                    self._send_rest()
                return
            # The call costs something, and there is an error only with one of these.
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if events & FAILED else 0
            if error:
                self.clear()
                self._client.connect_failed(OSError(error, os.strerror(error)))
            else:
                at = perf_counter()
                self._connected = True
                self._send_rest()
                self._client.connection_made(self, at)

        def write(self, data: bytes) -> None:
            sock = self._socket
            if sock is None:
                return
            if self._unsent:
                self._unsent += data
                return
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                # Not from within: who writes does not expect to be told before that returns.
                self._loop.soon.append(partial(self._lose, error, sock))
                return
            if sent < len(data):
                self._unsent = data[sent:]
                self._loop.epoll.modify(self._fd, EVERYTHING)

        def _send_rest(self) -> None:
            rest, self._unsent = self._unsent, b""
            self.write(rest)

        def _lose(self, error: Exception | None, of: _socket.socket | None = None) -> None:
            """Close, and tell the client; not when it has another socket than this by now."""
            if self._socket is not None and of in (None, self._socket):
                self.clear()
                self._client.connection_lost(error)

        def abort(self) -> None:
            self._lose(None)

        close = cancel = abort

        def is_closing(self) -> bool:
            return self._socket is None

        def clear(self) -> None:
            if self._socket is not None:
                self._loop.links.pop(self._fd, None)
                self._socket.close()
                self._socket = None
                self._unsent = b""
