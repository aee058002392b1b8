"""What a step takes out of an answer, for the steps after it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_winserve.errors import UsageError

JSON, HEADER, COOKIE = "json:", "header:", "cookie:"
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_JSON_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")


class Answered(Protocol):
    """What is looked at of an answer; a header's name is in small letters."""

    @property
    def text(self) -> str: ...
    @property
    def is_html(self) -> bool: ...
    def header(self, name: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Take:
    """Where a value is: `json:$.a.b`, `header:Name`, `cookie:Name`, or a pattern (regular
    expression) whose first group it is, looked for in the body. UsageError for what is none of
    these."""

    where: str
    header: str = field(init=False, repr=False, compare=False, default="")
    cookie: str = field(init=False, repr=False, compare=False, default="")
    """The name of the cookie that it is, which the user has and not the answer: see `Jar.value`."""
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)
    _steps: tuple[str | int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        if not isinstance(self.where, str) or not self.where:
            raise UsageError(
                "a pattern whose first group is taken, 'json:$.a.b', 'header:Name' or "
                "'cookie:Name' is needed"
            )
        if self.where.startswith(HEADER):
            name = self.where.removeprefix(HEADER).strip()
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                raise UsageError(f"{self.where!r}: 'header:' and a name, such as 'header:Location'")
            object.__setattr__(self, "header", name.lower())
        elif self.where.startswith(COOKIE):
            name = self.where.removeprefix(COOKIE).strip()
            if not _COOKIE_NAME.fullmatch(name):
                raise UsageError(
                    f"{self.where!r}: 'cookie:' and a name, such as 'cookie:csrftoken'"
                )
            object.__setattr__(self, "cookie", name)
        elif self.where.startswith(JSON):
            object.__setattr__(self, "_steps", _json_steps(self.where.removeprefix(JSON)))
        else:
            object.__setattr__(self, "_pattern", _compiled(self.where))

    def find(self, answer: Answered) -> str | None:
        """The value in an answer, None where it is not there, as a cookie never is. What a pattern
        finds in HTML is read as HTML (`&amp;` is `&`)."""
        if self.header:
            return answer.header(self.header)
        if self.cookie:
            return None
        if self._pattern is None:
            return _json_value(answer.text, self._steps)
        found = self._pattern.search(answer.text)
        value = None if found is None else found[1]
        if value is not None and "&" in value and answer.is_html:
            return html.unescape(value)
        return value

    def all_in(self, body: str) -> list[str]:
        """All that its pattern, or its place in JSON, finds in a body: what must not be shown."""
        if self._pattern is not None:
            return [found[1] for found in self._pattern.finditer(body) if found[1]]
        value = None if self.header or self.cookie else _json_value(body, self._steps)
        return [] if value is None else [value]


def _compiled(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(
            f"the pattern {text!r} does not compile: {error}; it is a regular expression as of "
            "Python's module re"
        ) from None
    if not pattern.groups:
        raise UsageError(
            f"the pattern {text!r} has no group: put what is to be taken in round brackets, such "
            "as 'href=(.*?)>'"
        )
    return pattern


def _json_steps(path: str) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        found = _JSON_STEP.match(path, at)
        if found is None:
            break
        name, number, *quoted = found.groups()
        steps.append(int(number) if number else next(t for t in (name, *quoted) if t is not None))
        at = found.end()
    if not path.startswith("$") or at < len(path):
        raise UsageError(f"'json:{path}': a place in JSON is needed, such as 'json:$.items[0].id'")
    return tuple(steps)


def _json_value(body: str, steps: tuple[str | int, ...]) -> str | None:
    try:
        value: Any = json.loads(body)
        for step in steps:
            if isinstance(value, dict) != isinstance(step, str):
                return None
            value = value[step]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
