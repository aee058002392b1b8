"""What an app may be called, and what is wrong with a name that is none."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from pytest_winserve.errors import AppError

FORMS = (
    "module:attribute, module:factory(), module:factory('text', key=1), "
    "path/to/file.py:attribute, or a module or file alone"
)
_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<attribute>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AppName:
    """An app's name, taken apart. `source` is a dotted module, or a file when it ends in `.py`;
    `attribute` is empty where it is to be looked for; `arguments` are those of a call."""

    text: str
    source: str
    attribute: str = ""
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @property
    def is_file(self) -> bool:
        return self.source.endswith(".py")


def parse_app(text: str) -> AppName:
    """Take a name apart. Raises AppError."""
    found = _FILE.fullmatch(text)
    if found is not None:
        source, attribute = found["file"], found["attribute"]
    else:
        source, colon, attribute = text.partition(":")
        attribute = attribute if colon else None
        if not all(part.isidentifier() for part in source.split(".")):
            raise AppError(f"the app {text!r}: {_why_no_module(source)}")
    if attribute is None:
        return AppName(text, source)
    try:
        tree = ast.parse(attribute.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise AppError(
            f"the app {text!r}: {attribute!r} is neither a name nor a call; what can be named is "
            f"{FORMS}"
        ) from None
    if not isinstance(tree, ast.Call):
        return AppName(text, source, _dotted(tree, text))
    return AppName(text, source, _dotted(tree.func, text), _arguments(tree, text))


def _why_no_module(source: str) -> str:
    if not source:
        return f"a module or a file is needed before the colon; what can be named is {FORMS}"
    if "/" in source or "\\" in source:
        return f"{source!r} is no Python file; write path/to/file.py, or the name of a module"
    return f"{source!r} is not the name of a module; what can be named is {FORMS}"


def _dotted(tree: ast.expr, text: str) -> str:
    parts: list[str] = []
    while isinstance(tree, ast.Attribute):
        parts.insert(0, tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise AppError(f"the app {text!r}: what can be named is {FORMS}")
    return ".".join([tree.id, *parts])


def _arguments(call: ast.Call, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords}
        if None in named:
            raise ValueError("**")
        return tuple(map(ast.literal_eval, call.args)), {str(k): v for k, v in named.items()}
    except ValueError:
        raise AppError(
            f"the app {text!r}: the arguments of a factory are literals, such as 'text', 1, True, "
            "None, [1, 2] or {'key': 1}"
        ) from None
