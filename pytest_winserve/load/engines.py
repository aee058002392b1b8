"""Engines by name."""

from __future__ import annotations

import difflib

from pytest_winserve.errors import UsageError
from pytest_winserve.load.engine import BuiltinEngine, Engine

_NOT_IN_THIS_VERSION = ("tsung", "locust")


def get_engine(name: str) -> Engine:
    """The engine of that name; UsageError when there is none."""
    if name == BuiltinEngine.name:
        return BuiltinEngine()
    if name in _NOT_IN_THIS_VERSION:
        raise UsageError(f"engine {name!r} is not in this version; there is 'builtin'")
    near = difflib.get_close_matches(name, [BuiltinEngine.name, *_NOT_IN_THIS_VERSION], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UsageError(
        f"unknown engine {name!r}: there is 'builtin' (tsung and locust are not in this version)"
        + hint
    )
