"""The kinds of load engine, one file each.

An engine file defines `ENGINE`, an object of the `Engine` protocol with its default arguments.
Nothing outside of the file knows the engine by name, so a new engine is a new file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pytest_winserve.registry import member, names

if TYPE_CHECKING:
    from pytest_winserve.load.engine import Engine


def engine_names() -> list[str]:
    """Every engine's name, installed or not."""
    return list(names(__name__))


def get_engine(name: str) -> Engine:
    """The engine of that name; UsageError with the nearest names when there is none."""
    return cast("Engine", member(__name__, "engine", name, "ENGINE").ENGINE)
