"""What the machine that sends a load has to give: sockets, ports, descriptors, processors.

A closed plan that needs more is refused before anything starts. What cannot be known before (a port
stays taken for a while after its connection, an open plan has as many requests in flight as it
comes to) ends requests as `client_limit`; and what was measured beside it, CPU and lag, says
afterwards whether the generator was the limit.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Plan

SPARE = 64
"""Descriptors of a worker beside its connections: its own files, and servers' that close late."""
CPU_LIMIT = 0.9
LAG_LIMIT = 0.010
ACHIEVED_LIMIT = 0.95
CPU_SECONDS = 1.0
"""Seconds that a load must last for its CPU alone to tell: starting is always busy."""

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def ports() -> int | None:
    """How many connections at once this machine can have to one address; None where it is not
    known (Windows has 16384 unless told otherwise, macOS 16383)."""
    try:
        low, high = map(int, _PORT_RANGE.read_text("ascii").split())
    except OSError:
        return None
    return high - low + 1


def descriptors() -> int | None:
    """How many files a process may have open when it asks for all it can get; None for no limit."""
    if sys.platform == "win32":
        return None  # only memory limits it there
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def raise_descriptors() -> None:
    """Let this process have as many files open as it can get."""
    if sys.platform != "win32":  # Windows has no such limit
        import resource

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # macOS refuses "unlimited"; running into the limit is reported as such.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check(plan: Plan, shares: Sequence[Plan]) -> None:
    """UsageError when the users of a closed plan cannot all be connected from this machine.

    `shares` are the parts of its workers.
    """
    if plan.open_model:
        return  # its users are a bound, which it need not come near
    there = ports()
    if there is not None and plan.users > there:
        raise UsageError(
            f"users={plan.users}: each needs a port, and this machine has {there}; give it more "
            f'with: sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"'
        )
    most = descriptors()
    needed = max(share.users for share in shares) + SPARE
    if most is not None and needed > most:
        raise UsageError(
            f"users={plan.users}: a worker of the load needs {needed} file descriptors, and may "
            f"have {most}; use fewer users, or raise the hard limit with: ulimit -Hn {needed}"
        )


def check_sockets(shares: Sequence[Plan], sockets: Sequence[int | None]) -> None:
    """UsageError when a worker's loop cannot watch the sockets that its share of a plan may need;
    `sockets` is how many each can watch, None for no limit."""
    for share, most in zip(shares, sockets, strict=True):
        if most is not None and share.users + SPARE > most:
            raise UsageError(
                f"users={share.users} in one worker: its event loop waits with select(), which "
                f"takes {most} sockets; use fewer users, or: pip install 'pytest-winserve[fast]'"
            )


def limited_by(snapshots: Sequence[Mapping[str, Any]], elapsed: float, *, open_model: bool) -> str:
    """The `limited_by` of a load of `elapsed` s, from the workers' last reports."""
    limits: dict[str, int] = {}
    for snapshot in snapshots:
        for name, n in snapshot["client_limits"].items():
            limits[name] = limits.get(name, 0) + n
    if any(limits.values()):
        return max(limits, key=lambda name: limits[name])
    for snapshot in snapshots:
        long = snapshot["lag"] > LAG_LIMIT or elapsed >= CPU_SECONDS
        if snapshot["cpu"] > CPU_LIMIT and long:
            return "generator-cpu"
    if open_model:
        behind = any(snapshot["achieved"] < ACHIEVED_LIMIT for snapshot in snapshots)
        dropped = any(snapshot["dropped"] for snapshot in snapshots)
        late = any(snapshot["lag"] > LAG_LIMIT for snapshot in snapshots)
        if late or (behind and not dropped):
            return "generator-schedule"
    return "none"


class HostCpu:
    """How busy all processors of this machine are from now on."""

    def __init__(self) -> None:
        import psutil  # here: a worker imports this module, and has no use for it

        self._times = psutil.cpu_times
        self._began = perf_counter()
        self._before = self._times()

    def share(self) -> float | None:
        """The busy share of the time since then, of all processors; None when it was less than a
        second: the system counts in steps of 10 ms and more."""
        if perf_counter() - self._began < CPU_SECONDS:
            return None
        then, now = self._before, self._times()
        # What runs for a guest is in user and nice already.
        names = [name for name in now._fields if not name.startswith("guest")]
        spent = {name: getattr(now, name) - getattr(then, name) for name in names}
        whole = sum(spent.values())
        idle = spent["idle"] + spent.get("iowait", 0.0)
        return min(1.0, max(0.0, 1 - idle / whole)) if whole > 0 else None
