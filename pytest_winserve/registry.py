"""Finds the members of a kind (servers, fronts, hosts, engines), one module each in its package."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType

from pytest_winserve.errors import UsageError


@cache
def names(package: str) -> tuple[str, ...]:
    """The names of a package's modules, without importing them."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(path)))


def load(package: str, name: str) -> ModuleType | None:
    """The module of that name, or None. It imports what it serves with only when asked to run."""
    return importlib.import_module(f"{package}.{name}") if name in names(package) else None


def member(package: str, kind: str, name: str, given: str | None = None) -> ModuleType:
    """The module of that name. UsageError when there is none: it names the `kind`, what was
    `given` (the name, unless more was), and the nearest names."""
    module = load(package, name)
    if module is None:
        raise UsageError(f"unknown {kind} {given or name!r}; {nearest(name, names(package))}")
    return module


def nearest(name: str, known: Iterable[str]) -> str:
    """`nearest: a, b; known: a, b, c`: the end of an error about an unknown name."""
    valid = sorted(known)
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}; " if close else ""
    return f"{hint}known: {', '.join(valid)}"
