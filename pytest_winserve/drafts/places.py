"""The places of a request in which a value stands that may be another one for each user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from pytest_winserve.drafts.har_file import Exchange
from pytest_winserve.drafts.secret_names import is_key, is_password, looks_made

SEGMENT, QUERY, HEADER, FIELD, JSON, TEXT = "segment", "query", "header", "field", "json", "text"

OF_THE_CLIENT = re.compile(
    r"accept-(charset|encoding|language)|cache-control|connection|content-length|cookie2?|dnt|"
    r"expect|host|if-.*|keep-alive|origin|pragma|priority|proxy-.*|purpose|range|referer|sec-.*|te|"
    r"trailer|transfer-encoding|upgrade(-insecure-requests)?|user-agent|via|x-forwarded-.*"
)
"""Header fields that a browser or a proxy writes by itself."""
JSON_TYPES = re.compile(r"application/(.*\+)?json|text/plain|application/csp-report")
_SECRET_IN_TEXT = re.compile(
    r"""(?<![/\w])(?P<name>[A-Za-z_][\w.-]*)["']?\s*[:=>]\s*["']?(?P<value>[^"'<>&\s,;]+)"""
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: `at` is its number or its way within what `kind` says. `name` is what
    the request calls it, `before` the text that stands before it in the same place."""

    kind: str
    at: tuple[str | int, ...]
    name: str
    value: str
    before: str = ""
    quoted: bool = True
    """Whether it is a text, and no number of JSON."""


def places_of(each: Exchange) -> Iterator[Place]:
    """All places of a request."""
    parts = urlsplit(each.path)
    segments = parts.path.split("/")
    for number, segment in enumerate(segments):
        if segment:
            name = f"{segments[number - 1]}_id" if number > 1 else "id"
            yield Place(SEGMENT, (number,), name, unquote(segment))
    for number, pair in enumerate(parts.query.split("&") if parts.query else ()):
        name, _, value = pair.partition("=")
        yield Place(QUERY, (number,), unquote_plus(name), unquote_plus(value))
    for name, value in headers_of(each).items():
        scheme, space, rest = value.partition(" ")
        known = name.lower() == "authorization" and space and scheme.isalpha()
        before, value = (f"{scheme} ", rest) if known else ("", value)
        yield Place(HEADER, (name,), name, value, before)
    yield from _body_places(each)


def shown(each: Exchange) -> str:
    """A request as messages name it: its path, without what may be a key in it."""
    parts = urlsplit(each.path).path.split("/")
    return f"{each.method} {'/'.join('*' if looks_made(unquote(p)) else p for p in parts)}"


def _body_places(each: Exchange) -> Iterator[Place]:
    if each.body is None:
        return
    if each.body.form is not None:
        for number, (name, value) in enumerate(each.body.form):
            yield Place(FIELD, (number,), name, value)
        return
    found, value = json_of(each)
    if found:
        yield from _leaves(value, (), "")
        return
    for match in _SECRET_IN_TEXT.finditer(each.body.text):
        if is_password(match["name"]) or is_key(match["name"]):
            yield Place(TEXT, match.span("value"), match["name"], match["value"])


def _leaves(value: Any, at: tuple[str | int, ...], name: str) -> Iterator[Place]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*at, key), key)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*at, number), name)
    elif isinstance(value, str):
        yield Place(JSON, at, name, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Place(JSON, at, name, json.dumps(value), quoted=False)


def json_of(each: Exchange) -> tuple[bool, Any]:
    """Whether a request sends JSON, and what."""
    body = each.body
    if body is None or body.form is not None:
        return False, None
    kind = body.type.partition(";")[0].strip().lower()
    if not JSON_TYPES.fullmatch(kind):
        return False, None
    try:
        value = json.loads(body.text)
    except (ValueError, RecursionError):
        return False, None
    return (kind != "text/plain" or isinstance(value, dict | list)), value


def headers_of(each: Exchange) -> dict[str, str]:
    """The header fields that are the page's own: not those that a browser writes by itself."""
    kept = {}
    for name, value in each.headers.items():
        low = name.lower()
        if OF_THE_CLIENT.fullmatch(low) or (low == "accept" and "application/" not in value):
            continue
        if low == "accept" and "text/html" in value:
            continue
        if low == "content-type" and _implied(each):
            continue
        kept[name] = value
    return kept


def _implied(each: Exchange) -> bool:
    """Whether a step of a journey has the type of what it sends by itself."""
    if each.method == "GET" or each.body is None or each.body.form is not None:
        return True
    kind = each.body.type.partition(";")[0].strip().lower()
    return kind == "application/json" and json_of(each)[0]


def with_replaced(value: Any, replaced: Mapping[tuple[str | int, ...], Any], keep: Any) -> Any:
    """JSON with others for these leaves; `keep` makes what stays of each text that stays."""

    def made(each: Any, at: tuple[str | int, ...]) -> Any:
        if at in replaced:
            return replaced[at]
        if isinstance(each, dict):
            return {keep(key): made(inner, (*at, key)) for key, inner in each.items()}
        if isinstance(each, list):
            return [made(inner, (*at, number)) for number, inner in enumerate(each)]
        return keep(each) if isinstance(each, str) else each

    return made(value, ())
