"""Ports in tests."""

from __future__ import annotations

from pytest_winserve.system.ports import claim_port


def free_port() -> int:
    """A port that nobody uses.

    The system gives its own free ports to whoever connects next, such as a load of another test;
    this one is not among them.
    """
    claim = claim_port()
    claim.release()
    return claim.number
