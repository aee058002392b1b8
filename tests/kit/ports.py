"""Ports in tests."""

from __future__ import annotations

import random
from contextlib import suppress

from pytest_winserve.errors import UsageError
from pytest_winserve.system.ports import bound_socket, claim_port

_ROWS = range(22_000, 32_000)
"""Above the ports that labs claim, below those that systems give to outgoing connections."""

_random = random.SystemRandom()
"""Never seeded: workers of one run must not look in the same places."""


def free_port() -> int:
    """A port that nobody uses.

    The system gives its own free ports to whoever connects next, such as a load of another test;
    this one is not among them.
    """
    claim = claim_port()
    claim.release()
    return claim.number


def free_row(count: int) -> range:
    """So many ports in a row, on all addresses, that nobody uses and no lab claims."""
    for _ in range(100):
        first = _random.choice(_ROWS[:-count])
        row = range(first, first + count)
        with suppress(UsageError):
            for port in row:
                bound_socket(port, "0.0.0.0").close()  # noqa: S104 - nothing listens
            return row
    raise AssertionError(f"no {count} free ports in a row")
