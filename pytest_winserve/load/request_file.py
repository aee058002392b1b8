"""Weighted requests in a file (TOML): one `[[request]]` for each kind."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Request
from pytest_winserve.system.header_fields import merged

JSON_TYPE = {"Content-Type": "application/json"}
_BODIES = ("body", "json", "file")
_KEYS = ("path", "method", "weight", "headers", *_BODIES)


def read_requests(name: str) -> tuple[Request, ...]:
    """The requests of a file. UsageError says where it is wrong, and what would be right."""
    place = Path(name)
    text = read_text(name, "requests")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}") from None
    tables = found.pop("request", None)
    if found:
        key = next(iter(found))
        raise UsageError(f"{name}{_line(text, 0, key)}: {_unknown(key, ('request',))}")
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise UsageError(f"{name}: there is no [[request]] in it, such as\n[[request]]\npath = '/'")
    return tuple(
        _request(table, f"{name}{{}}", text, number, place.parent)
        for number, table in enumerate(tables, 1)
    )


def read_text(name: str, what: str) -> str:
    """The text of a file that a setting names. Raises UsageError."""
    try:
        return Path(name).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{what}: {name} cannot be read: {error}") from None


def read_bytes(place: Path, what: str) -> bytes:
    """What is in a file that a setting names. Raises UsageError."""
    try:
        return place.read_bytes()
    except OSError as error:
        raise UsageError(f"{what}: {place} cannot be read: {error}") from None


def _request(table: Mapping[str, Any], where: str, text: str, number: int, folder: Path) -> Request:
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{where.format(_line(text, number, key))}: {_unknown(key, _KEYS)}")
    here = where.format(_line(text, number, ""))
    if "path" not in table:
        raise UsageError(f"{here}: this [[request]] has no path, such as path = '/orders'")
    bodies = [key for key in _BODIES if key in table]
    if len(bodies) > 1:
        raise UsageError(f"{here}: {' and '.join(bodies)} in one [[request]]: one is needed")
    headers, body = table.get("headers", {}), b""
    if "body" in table:
        if not isinstance(table["body"], str):
            raise UsageError(f"{here}: body is a text; json = {{...}} for JSON")
        body = table["body"].encode()
    elif "json" in table:
        body = _as_json(table["json"], here)
        headers = merged(JSON_TYPE, headers) if isinstance(headers, dict) else headers
    elif "file" in table:
        body = read_bytes(folder / str(table["file"]), f"{here}: file")
    try:
        return Request(
            table["path"],
            table.get("method", "POST" if bodies else "GET"),
            headers,
            body,
            table.get("weight", 1.0),
        )
    except UsageError as error:
        raise UsageError(f"{here}: {error}") from None


def _as_json(value: object, here: str) -> bytes:
    try:
        return json.dumps(value).encode()
    except TypeError as error:  # a date of TOML
        raise UsageError(f"{here}: json: {error}; write it as a text") from None


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"there is no key {key!r}; {meant}"


def _line(text: str, number: int, key: str) -> str:
    """`, line 3`: where a key of the request with this number stands, or the request itself; a
    number of 0 is what stands outside of them. Empty where it is written in another way."""
    seen = 0
    for at, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*\[\[\s*request\s*\]\]", line):
            seen += 1
            if seen == number and not key:
                return f", line {at}"
        elif (
            key
            and seen == number
            and re.match(rf"\s*(\[+\s*)?(request\.)?[\"']?{re.escape(key)}\b", line)
        ):
            return f", line {at}"
    return ""
