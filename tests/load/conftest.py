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


class Connection:
    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server
        self.request = b""
        self._buffer = b""

    def read_request(self) -> bool:
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                return False
            self._buffer += data
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(rest) < length:
            rest += self.sock.recv(65536)
        self.request = head + b"\r\n\r\n" + rest[:length]
        self._buffer = rest[length:]
        return True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

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
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.stopped.is_set():
                sock.close()
                return
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
        # Wakes the acceptor on every platform, where closing its socket does not.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
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
def serve() -> Iterator[MakeServer]:
    """Starts servers; all are stopped and their threads joined at the end."""
    with contextlib.ExitStack() as stack:

        def make(answer: Behaviour) -> Server:
            server = Server(answer)
            stack.callback(server.stop)
            return server

        yield make
