"""One request and its answer, the same for every engine that is written here: bytes, outcomes."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

from pytest_winserve.load.measures.outcomes import NO_BACKEND
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.tags import REQUEST_HEADER

CONNECT_TIMEOUTS = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
RESETS = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}
PORTS = {errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.ENOBUFS}
FDS = {errno.EMFILE, errno.ENFILE}
# Winsock's numbers, for loops that report them as they are: connection refused and aborted by
# ConnectEx, semaphore timeout, host and network unreachable, netname deleted (a reset).
WIN_REFUSED = {10061, 1225}
WIN_TIMEOUTS = {10060, 121, 10065, 10051, 1231, 1232}
WIN_RESETS = {10053, 10054, 64, 1236}
WIN_FDS = {10024}
LONGEST_PLACE = 200


def classify(error: BaseException) -> tuple[str, str]:
    """The outcome for a socket error, and for "client_limit" which limit it was."""
    code = getattr(error, "winerror", None) or getattr(error, "errno", None)
    if isinstance(error, ConnectionRefusedError) or code in WIN_REFUSED:
        return "refused", ""
    if isinstance(error, ConnectionError) or code in RESETS or code in WIN_RESETS:
        return "reset", ""
    if isinstance(error, TimeoutError) or code in CONNECT_TIMEOUTS or code in WIN_TIMEOUTS:
        return "connect_timeout", ""
    if code in FDS or code in WIN_FDS:
        return "client_limit", "client-fds"
    # Whatever else the system refuses to do, it is this machine that refuses.
    return "client_limit", "client-ports"


class Route:
    """A request as the bytes to send, and its place in the plan."""

    __slots__ = ("data", "head", "index", "method", "path")

    def __init__(
        self, index: int, request: Request, host: str, tag: str | None, keepalive: bool
    ) -> None:
        self.index = index
        headers = dict(request.headers)
        if not any(name.lower() == "host" for name in headers):
            headers = {"Host": host, **headers}
        if not keepalive:
            headers["Connection"] = "close"
        if tag is not None:
            headers[REQUEST_HEADER] = tag
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            headers["Content-Length"] = str(len(request.body))
        lines = [f"{request.method} {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body
        self.method = request.method
        self.path = request.path
        self.head = request.method == "HEAD"


R = TypeVar("R", bound=Route)


def mixed(routes: Sequence[R], plan: Plan, seed: int) -> Iterator[R]:
    """The routes of a plan's requests without end, by chance and weight; the same for a seed."""
    chance = random.Random(seed)  # reproducible, not secret
    weights = list(itertools.accumulate(request.weight for request in plan.requests))
    while True:
        yield from chance.choices(routes, cum_weights=weights, k=1024)


def backend_of(header: str | None, nonce: str | None) -> str | None:
    """Whose answer it is, from its mark `<nonce>.<index>`; None for that of a foreign server."""
    if header is None:
        return NO_BACKEND
    given, dot, index = header.rpartition(".")
    if nonce is not None and (not dot or given != nonce):
        return None
    return index if dot else NO_BACKEND


def place_of(location: str) -> str:
    """Where a redirect leads, without the query, which may hold a secret or a page's own number."""
    place, mark, _ = location.partition("?")
    return f"{place[:LONGEST_PLACE]}{'?...' * bool(mark)}"
