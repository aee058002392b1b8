"""What stands in an app's file under `if __name__ == "__main__"`, where no server runs it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

STARTS = {"run", "serve", "serve_forever", "print"}
"""Calls that are for `python app.py` only: nothing is missed without them."""


def not_run(file: Path) -> str:
    """`lines 8 to 12 of app.py`: the block, when it calls more than what starts a server. Empty
    where there is none, or it cannot be read."""
    for block in _blocks(file):
        if any(map(_does_more, block.body)):
            return f"lines {block.lineno} to {block.end_lineno} of {file.name}"
    return ""


def made_there(file: Path, names: Iterable[str]) -> tuple[str, str] | None:
    """The one of the names that is set in the block only, and to what, as in the file."""
    for block in _blocks(file):
        for node in block.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name in names:
                    return name, ast.unparse(node.value)
    return None


def _blocks(file: Path) -> Iterator[ast.If]:
    try:
        text = file.read_text("utf-8")
        tree = ast.parse(text) if "__main__" in text else ast.Module([], [])
    except (OSError, ValueError, SyntaxError):
        return
    for node in tree.body:
        if isinstance(node, ast.If) and _is_main(node.test):
            yield node


def _is_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare):
        return False
    sides = [test.left, *test.comparators]
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    texts = {side.value for side in sides if isinstance(side, ast.Constant)}
    return (names, texts) == ({"__name__"}, {"__main__"})


def _does_more(statement: ast.stmt) -> bool:
    """Whether it calls something for what that does, and not for its value."""
    calls = (
        node.value.func
        for node in ast.walk(statement)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
    return any(_name(call) not in STARTS for call in calls)


def _name(call: ast.expr) -> str:
    return call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
