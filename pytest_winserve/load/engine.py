"""The built-in engine: worker processes, started together, merged into one result.

The protocol with a worker is JSON lines. Engine to worker: the job; "warm" when there is a warm-up;
"go". Worker to engine: ready; warm; progress once a second with everything so far; final. Workers
begin together, and a worker whose standard input closes ends: a killed engine leaves nothing.
"""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pytest_winserve.errors import LoadError, UsageError
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.trust import SYSTEM, Trust

PORTS = {"http": 80, "https": 443}
START_SECONDS = 60.0
"""How long a worker may take until it is ready: importing, on a busy machine."""
GRACE_SECONDS = 20.0
"""How much later than its plan says, or how long silent, a worker may be before it is killed."""
RESOLVE_SECONDS = 2.0
"""How long one of several addresses of a name may take to let us connect."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send a load: `url` is "http://HOST:PORT", or https by `trust`.

    Counted requests carry `X-Winserve: <tag>` and those of the warm-up `<warmup_tag>`, when given.
    Answers of a backend carry `X-Winserve-Backend: <nonce>.<index>`; one with another nonce than
    the given one is a "bad_response", as it came from somebody else's server.
    """

    url: str
    tag: str | None = None
    warmup_tag: str | None = None
    nonce: str | None = None
    trust: Trust = SYSTEM

    def __post_init__(self) -> None:
        self.address()
        for name in ("tag", "warmup_tag", "nonce"):
            value = getattr(self, name)
            if value is not None and not (value.isascii() and value.isprintable() and value):
                raise UsageError(f"{name}={value!r}: printable ASCII is needed")

    def address(self) -> tuple[str, int]:
        """Host and port of the url; UsageError when it is not http(s)://HOST:PORT."""
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if (
            not host
            or parts.scheme not in PORTS
            or parts.path not in {"", "/"}
            or parts.query
            or parts.fragment
            or parts.username is not None
        ):
            raise UsageError(
                f"url={self.url!r}: 'http://HOST:PORT' or 'https://HOST:PORT' is needed; "
                "the path belongs to the plan"
            )
        return host, PORTS[parts.scheme] if port is None else port

    @property
    def secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def tls(self) -> dict[str, Any] | None:
        """How its connections are secured, for a worker: the name that the certificate must have,
        and `trust`; None when they are not."""
        return {"name": self.address()[0], **asdict(self.trust)} if self.secure else None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: `elapsed` s since the start, and counts over all workers so far."""

    elapsed: float
    sent: int
    outcomes: Mapping[str, int]
    dropped: int


class Engine(Protocol):
    """What sends a plan. `run` blocks until every request is accounted for."""

    @property
    def name(self) -> str: ...

    def ready(self) -> str:
        """What it is, with its version, when it can run here.

        MissingComponent when something is not installed, UsageError where it never runs.
        """

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result: ...


@runtime_checkable
class ChecksPlans(Protocol):
    """An engine that cannot send every plan, and says so before anything is started."""

    def check(self, plan: Plan) -> None:
        """UsageError for a plan that it cannot send."""


def resolve(target: Target) -> tuple[str, int]:
    """The target's address and port. LoadError when its name is not known.

    A name may have several addresses, and the server listen on one of them (localhost is often ::1
    first): then it is the first that takes a connection, which is closed again.
    """
    # Once, here: a name looked up for every connection would measure the resolver.
    host, port = target.address()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LoadError(f"{target.url}: cannot resolve {host!r}: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses if len(addresses) > 1 else ():
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address, port), timeout=RESOLVE_SECONDS),
        ):
            return address, port
    return addresses[0], port


def secured(
    sock: socket.socket, target: Target
) -> contextlib.AbstractContextManager[socket.socket]:
    """The connection, over TLS if the target wants it."""
    if not target.secure:
        return contextlib.nullcontext(sock)
    return target.trust.context().wrap_socket(sock, server_hostname=target.address()[0])


def longest_run(plans: Iterable[Plan]) -> float:
    """Seconds after which every worker has ended, unless something hangs; see GRACE_SECONDS."""
    longest = 0.0
    for plan in plans:
        ends = []
        if plan.seconds is not None:
            ends.append(plan.seconds)
        if plan.count is not None:
            # The slowest possible: every user's requests time out one after the other.
            rounds = math.ceil(plan.count / plan.users)
            each = plan.timeout + max(1.0, plan.think_time)
            if plan.journeys:
                each = max(journey.longest(each) for journey in plan.journeys)
            pace = plan.count / plan.connect_rate if plan.connect_rate else 0.0
            pace += plan.count / plan.rate if plan.rate else 0.0
            ends.append(rounds * each + pace)
        longest = max(longest, min(ends) + plan.timeout)
    return longest
