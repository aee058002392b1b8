"""Listen queues that were full, as Linux shows it on both sides of a connection.

A connect that finds no place is not refused there: its SYN is dropped, and sent again after times
that are known. So the client sees connects that took just these times, and the kernel of the server
counts what it dropped. Elsewhere neither is known.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import accumulate, repeat
from pathlib import Path

from pytest_winserve.load.measures.histogram import RELATIVE_ERROR, Histogram

FIRST_SECONDS = 1.0
"""From the first SYN to the second (TCP_TIMEOUT_INIT)."""
LATER, LATER_SHARE = 0.1, 0.05
"""Seconds, and share of the time, by which a retry may come later: the kernel's timers are the
coarser the longer they are, and each step begins where the one before has ended."""

_SYSCTL = Path("/proc/sys/net/ipv4")
_NETSTAT = Path("/proc/net/netstat")


def syn_retries() -> tuple[float, ...] | None:
    """Seconds after the first SYN of a connect at which this machine sends it again; None where
    that is not known.

    `tcp_syn_linear_timeouts` retries (Linux 6.5; none before) come a second after the one before,
    as the first does; from then on the time between two doubles (tcp_retransmit_timer).
    """
    try:
        doubling = int((_SYSCTL / "tcp_syn_retries").read_text("ascii"))
    except OSError:
        return None
    try:
        linear = int((_SYSCTL / "tcp_syn_linear_timeouts").read_text("ascii"))
    except OSError:
        linear = 0
    gaps = [*repeat(FIRST_SECONDS, linear), *(FIRST_SECONDS * 2**n for n in range(doubling))]
    return tuple(accumulate(gaps))


def retried(connect: Histogram, retries: tuple[float, ...]) -> int:
    """How many of these connects took as long as one whose SYN was sent again."""
    return sum(
        connect.above(at * (1 - RELATIVE_ERROR)) - connect.above(at * (1 + LATER_SHARE) + LATER)
        for at in retries
    )


@dataclass(frozen=True, slots=True)
class ListenDrops:
    """What the kernel counted for all listening sockets of a machine (a network namespace), of the
    lab or not: `overflows` of a queue of connections to be accepted, and all `drops`, these among
    them. A SYN that is sent again is counted again."""

    overflows: int
    drops: int

    def since(self, before: ListenDrops) -> ListenDrops:
        return ListenDrops(self.overflows - before.overflows, self.drops - before.drops)

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def listen_drops() -> ListenDrops | None:
    """The counts since the machine was started; None where they cannot be read."""
    try:
        lines = _NETSTAT.read_text("ascii").splitlines()
        # Two lines, one below the other: the names, and their values.
        names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
        counts = dict(zip(names, values, strict=True))
        return ListenDrops(int(counts["ListenOverflows"]), int(counts["ListenDrops"]))
    except (OSError, ValueError, KeyError):
        return None
