"""Finds the members of a kind (servers, fronts, hosts, engines), one module each.

Those of this version are the modules of the kind's package. Other packages add theirs by an entry
point, whose group is the kind's package and whose value is the module.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from pytest_winserve.errors import MissingComponent, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@cache
def own_names(package: str) -> tuple[str, ...]:
    """The names of a package's modules, without importing them."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(path)))


@cache
def added(package: str) -> dict[str, list[EntryPoint]]:
    """What other packages add, by name; more than one where they have chosen the same."""
    from importlib.metadata import entry_points  # here: a backend has no use for it

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=package):
        found.setdefault(point.name, []).append(point)
    return found


def names(package: str) -> tuple[str, ...]:
    """The names of all members, without importing them."""
    return tuple(sorted({*own_names(package), *added(package)}))


def member(
    package: str, kind: str, name: str, defines: str, given: str | None = None
) -> ModuleType:
    """The module of that name, which `defines` what a `kind` is. It imports what it serves with
    only when asked to run.

    Raises UsageError when there is none (it says what was `given`, the name unless more was, and
    the nearest names) or more than one; MissingComponent when the module that another package adds
    cannot be used.
    """
    own, others = name in own_names(package), added(package).get(name, [])
    if own + len(others) > 1:
        owners = ["pytest-winserve"] * own + [_owner(point) for point in others]
        raise UsageError(
            f"{len(owners)} packages have a {kind} named {name!r}: {', '.join(owners)}; "
            f"uninstall all but one: python -m pip uninstall {owners[-1]}"
        )
    if own:
        return importlib.import_module(f"{package}.{name}")
    if not others:
        raise UsageError(f"unknown {kind} {given or name!r}; {nearest(name, names(package))}")
    return _load(others[0], kind, defines)


def owner(package: str, name: str) -> str | None:
    """The distribution that adds the member of that name; None for one of this package's own."""
    others = added(package).get(name, [])
    return _owner(others[0]) if others and name not in own_names(package) else None


def _load(point: EntryPoint, kind: str, defines: str) -> ModuleType:
    module, wrong = None, ""
    try:
        module = importlib.import_module(point.value)
    except Exception as error:  # whatever another package does when it is imported
        wrong = f"cannot be imported: {type(error).__name__}: {error}"
    if module is not None and hasattr(module, defines):
        return module
    owner = _owner(point)
    raise MissingComponent(
        point.name,
        f"the package {owner} adds this {kind}, but its module {point.value!r} "
        + (wrong or f"does not define {defines}"),
        f"python -m pip install --upgrade --force-reinstall {owner}",
    )


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def nearest(name: str, known: Iterable[str]) -> str:
    """`nearest: a, b; known: a, b, c`: the end of an error about an unknown name."""
    valid = sorted(known)
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(close)}; " if close else ""
    return f"{hint}known: {', '.join(valid)}"
