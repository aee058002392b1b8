"""Small real servers: a thread per connection, raw sockets, and behaviour chosen by the test."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

Behaviour = Callable[["Connection"], bool]
"""Answers one request; returns whether the connection is kept."""


LOOK_EVERY = 0.2
"""Seconds after which a blocked thread looks whether it is to end: under Wine, closing a socket or
even its peer's end does not always wake it."""


class Connection:
    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.sock.settimeout(LOOK_EVERY)
        self.server = server
        self.request = b""
        self._buffer = b""

    def read_request(self) -> bool:
        while b"\r\n\r\n" not in self._buffer:
            data = self._receive()
            if not data:
                return False
            self._buffer += data
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(rest) < length:
            data = self._receive()
            if not data:
                return False
            rest += data
        self.request = head + b"\r\n\r\n" + rest[:length]
        self._buffer = rest[length:]
        return True

    def _receive(self) -> bytes:
        while True:
            try:
                return self.sock.recv(65536)
            except TimeoutError:
                if self.server.stopped.is_set():
                    return b""

    def send(self, data: bytes) -> None:
        self.sock.settimeout(None)
        self.sock.sendall(data)
        self.sock.settimeout(LOOK_EVERY)

    def reset(self) -> bool:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


class Server:
    """Counts what arrives; `answer` decides what happens with each request."""

    def __init__(self, answer: Behaviour) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(LOOK_EVERY)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except TimeoutError:
                if self.stopped.is_set():
                    return
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,))
            with self._lock:
                self.connections += 1
                self._open.add(sock)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        connection = Connection(sock, self)
        with contextlib.suppress(OSError):
            while connection.read_request():
                with self._lock:
                    self.requests.append(connection.request)
                if not self.answer(connection):
                    break
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def stop(self) -> None:
        self.stopped.set()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


MakeServer = Callable[[Behaviour], Server]


@pytest.fixture
def raw_server() -> Iterator[MakeServer]:
    """Starts servers; all are stopped and their threads joined at the end."""
    with contextlib.ExitStack() as stack:

        def make(answer: Behaviour) -> Server:
            server = Server(answer)
            stack.callback(server.stop)
            return server

        yield make
