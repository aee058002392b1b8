"""The rules of this suite: who imports whom in it, and what its tier of unit tests keeps out."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.components import all_are_named

TESTS = Path(__file__).parents[1]


def imported(file: Path) -> Iterator[str]:
    """The full names of the modules of this suite that a file of it imports."""
    package = ".".join(file.relative_to(TESTS.parent).parent.parts)
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: -node.level + 1 or None]) if node.level else ""
            names = [".".join(filter(None, (above, node.module)))]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == TESTS.name)


def test_a_file_imports_the_kit_and_the_conftest_beside_it_only() -> None:
    files = [*TESTS.rglob("*.py")]
    assert Path(__file__) in files
    others = []
    for file in files:
        beside = ".".join((*file.relative_to(TESTS.parent).parent.parts, "conftest"))
        for name in imported(file):
            if not name.startswith("tests.kit.") and name != beside:
                others.append(f"{file.relative_to(TESTS)} imports {name}")
    assert others == []


def a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


def a_shell() -> None:
    os.system("true")


def a_server() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))


def a_client() -> None:
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", 9))


@pytest.mark.parametrize("start", [a_process, a_shell, a_server, a_client])
def test_this_tier_refuses_what_costs_time(start: Callable[[], None]) -> None:
    with pytest.raises(pytest.fail.Exception, match="starts no process and opens no connection"):
        start()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["tests"], False),
        (["tests/hosts/wine"], False),
        (["tests/hosts/wine/test_host.py::test_one"], True),
        (["tests/a.py::test_one", "tests/b.py::test_two[x]"], True),
        (["tests/a.py::test_one", "tests/cli"], False),
        ([], False),
    ],
)
def test_what_needs_a_component_runs_when_it_is_named(arguments: list[str], named: bool) -> None:
    assert all_are_named(arguments) == named
