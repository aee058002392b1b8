"""Finds the members of a kind (servers, fronts): one module each in the kind's package."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType


@cache
def modules(package: str) -> dict[str, ModuleType]:
    """The modules of a package by name. They import what they serve with only when asked to run."""
    path = importlib.import_module(package).__path__
    names = sorted(info.name for info in pkgutil.iter_modules(path))
    return {name: importlib.import_module(f"{package}.{name}") for name in names}


def nearest(name: str, known: Iterable[str]) -> str:
    """`nearest: a, b; known: a, b, c`: the end of an error about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}; " if close else ""
    return f"{hint}known: {', '.join(names)}"
