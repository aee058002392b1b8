"""Finds the members of a kind (servers, fronts): one module each in the kind's package."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType


@cache
def names(package: str) -> tuple[str, ...]:
    """The names of a package's modules, without importing them."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(path)))


def load(package: str, name: str) -> ModuleType | None:
    """The module of that name, or None. It imports what it serves with only when asked to run."""
    return importlib.import_module(f"{package}.{name}") if name in names(package) else None


def nearest(name: str, known: Iterable[str]) -> str:
    """`nearest: a, b; known: a, b, c`: the end of an error about an unknown name."""
    valid = sorted(known)
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}; " if close else ""
    return f"{hint}known: {', '.join(valid)}"
