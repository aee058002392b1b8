"""Where in an answer a value stands: as a journey's step takes it.

What is given back finds the value in the answer of the recording: that was tried.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from pytest_winserve.drafts.har_file import Answer
from pytest_winserve.drafts.secret_names import plain

SHORT = 6
"""A value with fewer characters may stand anywhere by chance."""
MOST_TRIED = 20
_ID = re.compile(r"(^|_)(id|pk|uuid|key|slug|number|no)$")
_NOT_THESE = ("location", "set-cookie", "date", "etag", "content-length", "last-modified")
_KEYED_BY = ("name", "id", "property", "http-equiv", "rel", "class")
_ATTRIBUTE = re.compile(r"""([A-Za-z_:@][\w:.-]*)\s*=\s*("[^"]*"|'[^']*')""")
_BOUNDARY = re.compile(r"[<>;{},\n]")
LONGEST_BEFORE = 160
MOST_BEFORE = 3
"""How many pieces of the text before a value are tried as what it is known by."""


def take_of(value: str, name: str, answer: Answer, path: str = "") -> str | None:
    """What takes a value out of an answer; None where it is not there, or cannot be told from
    others. `name` is what the request calls it; `path` is the request's path when the value is a
    part of it."""
    for header, text in answer.headers.items():
        if text == value and len(value) >= SHORT and header.lower() not in _NOT_THESE:
            return f"header:{header}"
    if not answer.body:
        return None
    if "json" in answer.type:
        return _json_place(value, name, answer.body)
    patterns = list(_path_patterns(value, path)) if path else []
    if len(value) >= SHORT or not path:
        # The tag that has the name of the field before others that hold the same.
        found = _patterns(value, answer.body)
        patterns += sorted(found, key=lambda pattern: f'name="{name}"' not in pattern)
    return _best(patterns, value, answer)


def guessed(name: str, *, header: bool) -> str:
    """The pattern by which pages mostly have a token of that name."""
    if header:
        return r'<meta name="csrf-token" content="([^"]+)"'
    return rf'name="{re.escape(name)}"[^>]*value="([^"]+)"'


def ids_in(body: str) -> set[str]:
    """The values in JSON that may be ids: by what they are called, or by their length."""
    try:
        found = _json_leaves(json.loads(body), "$", "")
        return {text for _, key, text in found if len(text) >= SHORT or _ID.search(plain(key))}
    except (ValueError, RecursionError):
        return set()


def _json_place(value: str, name: str, body: str) -> str | None:
    if value not in body and "\\" not in body:  # it is not there, in no way of writing it
        return None
    try:
        found = list(_json_leaves(json.loads(body), "$", ""))
    except (ValueError, RecursionError):
        return None
    same = [(place, key) for place, key, text in found if text == value]
    if len(value) < SHORT:
        same = [(place, key) for place, key in same if _ID.search(plain(key))]
    if not same:
        return None
    # The one of that name first, then the one that stands nearest to the top.
    place, _ = min(same, key=lambda each: (plain(each[1]) != plain(name), each[0].count("[")))
    return f"json:{place}"


def _json_leaves(value: Any, place: str, key: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, dict):
        for name, each in value.items():
            if re.fullmatch(r"[A-Za-z_][\w-]*", name):
                yield from _json_leaves(each, f"{place}.{name}", name)
            elif '"' not in name:
                yield from _json_leaves(each, f'{place}["{name}"]', name)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _json_leaves(each, f"{place}[{number}]", key)
    elif isinstance(value, str):
        yield place, key, value
    elif value is not None:
        yield place, key, json.dumps(value)


def _best(patterns: list[str], value: str, answer: Answer) -> str | None:
    """The first pattern that finds nothing but the value; else the first that finds it first."""
    assert answer.body is not None
    first = None
    for pattern in patterns:
        found = [match[1] for match in re.finditer(pattern, answer.body)]
        found = [html.unescape(text) if "html" in answer.type else text for text in found]
        if found and set(found) == {value}:
            return pattern
        if found and found[0] == value:
            first = first or pattern
    return first


def _path_patterns(value: str, path: str) -> Iterator[str]:
    """Of a part of a path: a link to the whole of it."""
    path = path.partition("?")[0]
    before, found, after = path.partition(f"/{value}")
    if found:
        for quote, end in (('"', '"'), ("'", "'"), ('"', "[?#]"), ("'", "[?#]")):
            any_id = rf"/[^/{quote}]*\d[^/{quote}]*"  # of what else is in the path
            left, right = (re.sub(r"/[^/]*\d[^/]*", "/0", part) for part in (before, after))
            left, right = (_plainly(part).replace("/0", any_id) for part in (left, right))
            yield rf"{quote}{left}/([^/{quote}?#]+){right}{end}"


def _patterns(value: str, body: str) -> Iterator[str]:
    for written in dict.fromkeys((value, html.escape(value), html.escape(value, quote=False))):
        if written not in body:
            continue
        for number, match in enumerate(re.finditer(re.escape(written), body)):
            if number >= MOST_TRIED:
                break
            begin, end = match.span()
            yield from _by_tag(body, begin, end)
            yield from _by_what_is_before(body, begin, end)


def _by_tag(body: str, begin: int, end: int) -> Iterator[str]:
    """A value that is an attribute of a tag: by the tag and another attribute of it."""
    opened = body.rfind("<", 0, begin)
    if opened < 0 or ">" in body[opened:begin]:
        return
    closed = body.find(">", end)
    tag = body[opened : closed + 1]
    kind = re.match(r"<([A-Za-z][\w-]*)", tag)
    attributes = [(m[1], m[2], m.start() + opened) for m in _ATTRIBUTE.finditer(tag)]
    held = [each for each in attributes if each[2] <= begin < each[2] + len(each[0] + each[1]) + 4]
    if kind is None or not held or closed < 0:
        return
    name, text, place = held[-1]
    if text[1:-1] != body[begin:end]:
        return
    quote = text[0]
    group = f"{re.escape(name)}={quote}([^{quote}]+){quote}"
    for key in _KEYED_BY:
        for other, other_text, other_place in attributes:
            if other.lower() != key or other == name:
                continue
            known = f"{re.escape(other)}={_plainly(other_text)}"
            if other_place < place:
                yield f"{known}[^>]*{group}"
                yield f"<{kind[1]}[^>]*{known}[^>]*{group}"
            else:
                yield f"{group}[^>]*{known}"
                yield f"<{kind[1]}[^>]*{group}[^>]*{known}"


def _by_what_is_before(body: str, begin: int, end: int) -> Iterator[str]:
    """By the text before the value and the character after it. The text begins where something
    does, so that no piece of another value is in it."""
    after = body[end : end + 1]
    if after and not after.isalnum() and not after.isspace():
        group = f"([^{re.escape(after)}]+){re.escape(after)}"
    elif after.isalnum():
        return
    else:
        group = r"(\S+)"
    start = max(0, begin - LONGEST_BEFORE)
    begun = [m.end() + start for m in _BOUNDARY.finditer(body[start:begin])]
    for place in begun[: -MOST_BEFORE - 1 : -1]:
        text = body[place:begin].lstrip()
        if text.strip("\"' ="):
            yield f"{_plainly(text)}{group}"


def _plainly(text: str) -> str:
    """A text as a pattern, spaces of any length, and no more escaped than must be."""
    pieces = re.split(r"\s+", text)
    return r"\s+".join(re.sub(r"\\([\"'=<>:;,#&@!%/~` -])", r"\1", re.escape(p)) for p in pieces)
