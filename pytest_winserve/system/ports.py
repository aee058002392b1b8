"""Ports for programs that cannot be handed a socket, and the machine's measuring lock.

A claimed port lies below the range that the system gives to outgoing connections, so no client can
take it by chance, and it is held by a lock file until released, so no other worker picks it. The
locks are the operating system's: they go with the process that holds them.
"""

from __future__ import annotations

import random
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.windows import tells_who_listens

if TYPE_CHECKING:
    from filelock import FileLock


# psutil and filelock are imported where they are used: every backend imports this module.

ADDRESS = "127.0.0.1"
FIRST, LAST = 20_000, 21_999

Address = tuple[str, int]
"""Host and port of a TCP server."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the servers of a site listen so that the lab reaches them: an address of their machine,
    and the ports `first` to `last`; 0 for any."""

    address: str = ADDRESS
    first: int = 0
    last: int = 0

    def check(self, port: int) -> None:
        """Raise UsageError for a port on which nothing would be reached."""
        if self.first and not self.first <= port <= self.last:
            raise UsageError(
                f"port {port} is not among those that can be reached there, "
                f"{self.first} to {self.last}"
            )


ANYWHERE = Listen()


def bound_socket(port: int = 0, address: str = ADDRESS) -> socket.socket:
    """A TCP socket bound to this address that no other process can bind as well.

    Raises UsageError when `port` is taken.
    """
    try:
        return _bind(port, address)
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}{holder_of(port)}") from None


def _bind(port: int, address: str) -> socket.socket:
    # With its protocol named, as `getaddrinfo` does: asyncio sets TCP_NODELAY by that.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR of another process would share the port; this forbids it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past TIME_WAIT
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def holder_of(port: int) -> str:
    """` (held by pid N, NAME)` when this user may know it, else nothing."""
    if not tells_who_listens():
        return ""
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        return ""
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and tuple(connection.laddr)[1:] == (port,)
            and connection.pid
        ):
            try:
                return f" (held by pid {connection.pid}, {psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return ""
    return ""


@dataclass(frozen=True, slots=True)
class ClaimedPort:
    """A port that nobody else will claim until it is released."""

    number: int
    _lock: FileLock | None

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def claim_port(wanted: int = 0, listen: Listen = ANYWHERE) -> ClaimedPort:
    """Claim `wanted` (UsageError when it is taken), or any free port (StartError without one)."""
    if wanted:
        listen.check(wanted)
        bound_socket(wanted, listen.address).close()
        return ClaimedPort(wanted, None)
    from filelock import FileLock, Timeout

    folder = shared_folder()
    first, last = listen.first or FIRST, listen.last or LAST
    candidates = list(range(first, last + 1))
    random.shuffle(candidates)
    for port in candidates:
        lock = FileLock(folder / f"port-{port}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            _bind(port, listen.address).close()
        except OSError:
            lock.release()
            continue
        return ClaimedPort(port, lock)
    raise StartError(f"no free port from {first} to {last} on {listen.address}")
