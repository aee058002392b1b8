"""What is within an app: the objects that middleware wraps, and which of them is Flask's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType
from typing import Any

LOOKED_AT = 100
"""How many objects of an app are looked at."""
PARTS = ("app", "_app", "application", "wsgi_app", "wrapped", "wrapped_app", "server", "mounts")
"""Where middleware has what it wraps; `server` is Dash's."""


def objects_in(app: object) -> Iterator[object]:
    """An app and what it wraps, the outermost first."""
    todo, seen = [app], set[int]()
    while todo and len(seen) < LOOKED_AT:
        each = todo.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += _within(each)


def is_flask(value: object) -> bool:
    """Whether it is a Flask object; without importing Flask, which the app may not have."""
    return any(
        (base.__module__, base.__name__) == ("flask.app", "Flask") for base in type(value).__mro__
    )


def _within(each: Any) -> Iterator[object]:
    """What an object of an app may have wrapped."""
    if isinstance(each, dict):
        yield from each.values()
        return
    own: Any = getattr(each, "__dict__", None)
    if isinstance(own, dict):
        yield from (own[name] for name in (*PARTS, "__wrapped__") if name in own)
    for name in ("__self__", "func"):  # of a bound method, of functools.partial
        if type(each).__name__ in ("method", "partial") and hasattr(each, name):
            yield getattr(each, name)
    # An object may have any attribute, or say so; what a closure is, a function knows.
    closure = each.__closure__ if isinstance(each, FunctionType) else None
    for cell in closure or ():
        with suppress(ValueError):  # not filled yet
            if callable(cell.cell_contents):
                yield cell.cell_contents
