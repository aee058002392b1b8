"""Values as TOML, as people write it: patterns in single quotes, tables in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", '"': r"\"", "\\": r"\\"}


def text(value: str) -> str:
    """A text. Where it has quotes or backslashes, as they are, if it can be."""
    plain = all(" " <= c != "\x7f" for c in value)
    if plain and "'" not in value and ('"' in value or "\\" in value):
        return f"'{value}'"
    if plain and "'''" not in value and not value.endswith("'") and "\\" in value:
        return f"'''{value}'''"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(c: str) -> str:
    if c in _SHORT:
        return _SHORT[c]
    if c < " " or c == "\x7f":
        return f"\\u{ord(c):04x}"
    # A lone surrogate, as JSON can have it, is no character of TOML.
    return "�" if "\ud800" <= c <= "\udfff" else c


def key(name: str) -> str:
    return name if _BARE.fullmatch(name) else text(name)


def value(given: Any) -> str:
    """A text, a number, a list or a table, in one line."""
    if isinstance(given, str):
        return text(given)
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, Mapping):
        pairs = ", ".join(f"{key(str(name))} = {value(each)}" for name, each in given.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(value, given))}]"
    return repr(given)


def comment(words: str) -> str:
    """A comment in one line, whatever is in the words."""
    return "# " + "".join(c if c >= " " and c != "\x7f" else " " for c in words)
