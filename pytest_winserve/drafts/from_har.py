"""A journey out of a browser's recording: its steps, as the text of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import takewhile
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pytest_winserve.drafts import places, toml_text
from pytest_winserve.drafts.chosen import Chosen, target_of
from pytest_winserve.drafts.forms import is_lost, with_lost_forms
from pytest_winserve.drafts.har_file import Exchange
from pytest_winserve.drafts.places import (
    Place,
    headers_of,
    json_of,
    places_of,
    shown,
    with_replaced,
)
from pytest_winserve.drafts.secret_names import is_key, is_password
from pytest_winserve.drafts.values import Column, Taken, Values, new_parts, values_of
from pytest_winserve.load.journeys.templates import escaped
from pytest_winserve.load.request_parts import NOT_SHOWN
from pytest_winserve.system.header_fields import value_of

LONGEST_LINE = 100
SHORTEST_THINK = 0.1
SHORTEST_HIDDEN = 8
"""A secret with fewer characters is left out where it stands alone, not inside of other words."""
NO_BODIES = (
    "the recording has no body of {pages}, so where {names} is could not be seen: the usual place "
    "of it is written. `winserve journey check` shows whether it is there. For a recording with "
    "bodies: take Firefox, or Playwright with record_har_content='embed'; Chromium's developer "
    "tools drop those of pages that were left"
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A journey's file, the columns that its data must have, and what its owner should know."""

    text: str
    columns: tuple[str, ...]
    steps: int
    taken: tuple[str, ...]
    """What is taken from answers, in words."""
    told: tuple[str, ...]


def draft_of(chosen: Chosen, name: str, *, recording: str, data: str, think: bool) -> Draft:
    """The journey of these exchanges. `data` is what the file calls its rows' file."""
    exchanges = tuple(with_lost_forms(chosen.exchanges))
    values = values_of(exchanges)
    hidden = _hidden(values.secrets, exchanges)
    writer = _Writer(exchanges, values, hidden, think)
    blocks = [block for number in range(len(exchanges)) for block in writer.step(number)]
    columns = tuple(values.columns)
    head = list(_head(exchanges, recording, data if columns else "", columns))
    journey = ["[[journey]]", f"name = {toml_text.text(name)}"]
    if columns:
        journey.append(f"data = {toml_text.text(data)}")
    text = _without(hidden, "\n".join([*head, *journey, *blocks]) + "\n")
    told = (
        *writer.told(), *values.told, *_told_of_lost(chosen.exchanges, exchanges),
        *_told_of_cookies(exchanges),
    )  # fmt: skip
    return Draft(text, columns, len(exchanges), tuple(writer.taken_words()), told)


def _without(secrets: Iterable[str], text: str) -> str:
    """The text of a file with no secret in it, wherever it may have come from."""
    for secret in secrets:
        for written in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(written, NOT_SHOWN)
    return text


def _hidden(secrets: Iterable[str], exchanges: Sequence[Exchange]) -> list[str]:
    """The secrets that are left out of other words, too, the longest first. Somebody's password
    may be `password`: what is a word, or the name of a field, is left out where it stands alone."""
    names = {place.name for each in exchanges for place in places_of(each)}
    hidden = [
        each
        for each in secrets
        if len(each) >= SHORTEST_HIDDEN and not each.isalpha() and each not in names
    ]
    return sorted(hidden, key=len, reverse=True)


def _head(
    exchanges: Sequence[Exchange], recording: str, data: str, columns: Sequence[str]
) -> Iterator[str]:
    day = datetime.fromtimestamp(exchanges[0].started, UTC).date()
    lines = [f"From {recording}, a browser's recording of {exchanges[0].host} of {day}."]
    lines.append("Cookies are not in it: each user gets its own from the answers.")
    if data:
        lines.append(f"{data} has a row for each user: {', '.join(columns)}.")
    yield from map(toml_text.comment, lines)
    yield ""


class _Writer:
    """Writes the steps of a journey."""

    def __init__(
        self, exchanges: Sequence[Exchange], values: Values, hidden: Sequence[str], think: bool
    ) -> None:
        self._all = exchanges
        self._values = values
        self._think = think
        self._uploads: list[str] = []
        self._secrets = hidden

    def step(self, number: int) -> Iterator[str]:
        """The lines of one step."""
        each = self._all[number]
        at = {place: what for (n, place), what in self._values.at.items() if n == number}
        yield ""
        yield "  [[journey.step]]"
        keys: dict[str, Any] = {each.method.lower(): self._path(number, each, at)}
        if number in self._values.paths:
            keys["name"] = f"{each.method} {self._as_seen(number, each)}"
        headers = self._headers(each, at)
        keys |= self._content(each, at, headers)
        if headers:
            keys["headers"] = headers
        taken = [t for t in self._values.taken if t.source == number]
        if taken:
            keys["take"] = {t.name: t.where for t in taken}
        keys["expect"] = self._expect(each)
        pause = self._pause(number)
        if pause:
            keys["think"] = pause
        for t in taken:
            if not t.seen:
                yield "  # The recording has no body of this page: look where the value is in it."
        yield from _key_lines(keys)

    def _path(self, number: int, each: Exchange, at: Mapping[Place, Taken | Column]) -> str:
        whole = self._values.paths.get(number)
        if whole is not None:
            return f"{{{whole.name}}}"
        instead = {(place.kind, place.at[0]): f"{{{what.name}}}" for place, what in at.items()}
        parts = urlsplit(each.path)
        path = "/".join(
            instead.get((places.SEGMENT, place)) or self._kept(_ascii(segment))
            for place, segment in enumerate(parts.path.split("/"))
        )
        if not parts.query:
            return path
        pairs = []
        for place, pair in enumerate(parts.query.split("&")):
            value = instead.get((places.QUERY, place))
            name = _ascii(pair.partition("=")[0])
            pairs.append(f"{self._kept(name)}={value}" if value else self._kept(_ascii(pair)))
        return f"{path}?{'&'.join(pairs)}"

    def _as_seen(self, number: int, each: Exchange) -> str:
        """A path whose changing parts are left out, as a name."""
        before = {
            place.value
            for other in self._all[:number]
            if target_of(other) != each.url
            for place in places_of(other)
        }
        parts = urlsplit(each.path).path.split("/")
        return "/".join(
            "*" if part and any(map(str.isdigit, part)) and part not in before else part
            for part in parts
        )

    def _headers(self, each: Exchange, at: Mapping[Place, Taken | Column]) -> dict[str, str]:
        instead = {
            place.at[0]: f"{place.before}{{{what.name}}}"
            for place, what in at.items()
            if place.kind == places.HEADER
        }
        return {
            name: instead.get(name) or self._kept(value) for name, value in headers_of(each).items()
        }

    def _content(
        self, each: Exchange, at: Mapping[Place, Taken | Column], headers: dict[str, str]
    ) -> dict[str, Any]:
        """What a step sends; its type goes to the headers where it does not follow from that."""
        if each.body is None or each.method == "GET":
            return {}
        if each.body.form is not None:
            return self._form(each, at, headers)
        found, value = json_of(each)
        if found:
            return self._json(value, each, at, headers)
        text = self._kept_text(each.body.text, at)
        return {"body": text} if text else {}

    def _form(
        self, each: Exchange, at: Mapping[Place, Taken | Column], headers: dict[str, str]
    ) -> dict[str, Any]:
        assert each.body is not None
        assert each.body.form is not None
        instead = {p.at[0]: f"{{{what.name}}}" for p, what in at.items() if p.kind == places.FIELD}
        fields = [
            (name, instead.get(number) or self._kept(value))
            for number, (name, value) in enumerate(each.body.form)
        ]
        names = [name for name, _ in fields]
        files = {upload.field: upload.name for upload in each.body.files}
        self._uploads += files.values()
        if len(set(names)) < len(names) and not files:
            # A table has each name once.
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return {
                "body": "&".join(
                    f"{quote_plus(name)}={instead.get(number) or self._kept(quote_plus(value))}"
                    for number, (name, value) in enumerate(each.body.form)
                )
            }
        made: dict[str, Any] = {"form": dict(fields)} if fields else {}
        return made | ({"files": files} if files else {})

    def _json(
        self,
        value: Any,
        each: Exchange,
        at: Mapping[Place, Taken | Column],
        headers: dict[str, str],
    ) -> dict[str, Any]:
        assert each.body is not None
        mine = {p: f"{{{what.name}}}" for p, what in at.items() if p.kind == places.JSON}
        numbers = {place.at: name for place, name in mine.items() if not place.quoted}
        plain = each.body.type.partition(";")[0].strip().lower() == "application/json"
        if plain and not numbers and not _has_null(value):
            texts = {place.at: name for place, name in mine.items()}
            return {"json": with_replaced(value, texts, self._kept)}
        # TOML has no null, and what stands for a value is a text in it.
        if not value_of(headers, "Content-Type"):
            headers["Content-Type"] = each.body.type
        marked = {p.at: name if p.quoted else f"\0{name}" for p, name in mine.items()}
        text = json.dumps(with_replaced(value, marked, self._kept))
        for name in numbers.values():
            text = text.replace(f'"\\u0000{name}"', name)
        return {"body": text}

    def _kept_text(self, text: str, at: Mapping[Place, Taken | Column]) -> str:
        made, end = "", 0
        for place, what in at.items():  # in the order of the text
            if place.kind != places.TEXT:
                continue
            begin, after = int(place.at[0]), int(place.at[1])
            made += self._kept(text[end:begin]) + f"{{{what.name}}}"
            end = after
        return made + self._kept(text[end:])

    def _kept(self, text: str) -> str:
        """A text that stays as it is, with no secret in it."""
        made = escaped(text)
        for secret in self._secrets:
            if secret in made:
                made = made.replace(secret, f"{{{self._name_of(secret)}}}")
        return made

    def _name_of(self, secret: str) -> str:
        """The value that stands for a secret: a column, made now if there is none."""
        for known in self._values.columns.values():
            if known.value == secret:
                return known.name
        name = f"secret_{len(self._values.columns) + 1}"
        self._values.columns[name] = Column(name, secret)
        return name

    def _expect(self, each: Exchange) -> dict[str, Any]:
        status = each.answer.status
        if status in (HTTPStatus.NOT_MODIFIED, HTTPStatus.PARTIAL_CONTENT):
            status = HTTPStatus.OK  # it was asked for with what the browser had already
        place = self._leads_to(each)
        return {"status": int(status)} | ({"header": {"Location": place}} if place else {})

    def _leads_to(self, each: Exchange) -> str:
        """The part of a redirect's target that is the same for each user; empty where that says
        nothing."""
        target = target_of(each)
        if target is None:
            return ""
        new = {
            *new_parts(each),
            *(column.value for column in self._values.columns.values()),
            *(taken.value for taken in self._values.taken),
        }
        parts = urlsplit(target).path.split("/")
        same = list(takewhile(lambda part: not part or unquote(part) not in new, parts))
        return self._kept("/".join(same)) if any(same) else ""

    def _pause(self, number: int) -> float:
        if not self._think or number + 1 == len(self._all):
            return 0.0
        seconds = round(self._all[number + 1].started - self._all[number].ended, 1)
        return seconds if seconds >= SHORTEST_THINK else 0.0

    def taken_words(self) -> Iterator[str]:
        for taken in self._values.taken:
            if taken.seen:
                yield f"{taken.name} ({shown(self._all[taken.source])})"

    def told(self) -> Iterator[str]:
        unseen = [taken for taken in self._values.taken if not taken.seen]
        if unseen:
            pages = [shown(self._all[taken.source]) for taken in unseen]
            yield NO_BODIES.format(
                pages=", ".join(dict.fromkeys(pages)),
                names=", ".join(dict.fromkeys(taken.name for taken in unseen)),
            )
        yield from self._told_of_keys()
        for name in dict.fromkeys(self._uploads):
            yield f"put {name} beside the file of the journey: what was uploaded is not in it"

    def _told_of_keys(self) -> Iterator[str]:
        """Keys of a user that may have come with an answer whose body is not in the recording."""
        keys = [name for name in self._values.columns if is_key(name) and not is_password(name)]
        pages = [shown(e) for e in self._all if e.answer.body is None and e.answer.status == 200]
        if keys and pages:
            yield (
                f"the recording has no body of {', '.join(dict.fromkeys(pages))}: if "
                f"{', '.join(keys)} came with one of these, take it there: take = {{ key = ... }}"
            )


def _key_lines(keys: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a step. A table that is too long for a line gets a head and lines of its own,
    after all others."""
    long = {}
    for key, given in keys.items():
        line = f"  {toml_text.key(key)} = {toml_text.value(given)}"
        if len(line) > LONGEST_LINE and isinstance(given, Mapping) and given:
            long[key] = given
        else:
            yield line
    for key, given in long.items():
        yield f"  [journey.step.{key}]"
        for name, each in given.items():
            yield f"  {toml_text.key(name)} = {toml_text.value(each)}"


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _ascii(text: str) -> str:
    """A part of a URL as it is sent: recordings may have it decoded."""
    return quote(text, safe="!$%&'()*+,/:;=?@[]~-._{}|^`\"<>\\")


def _told_of_lost(recorded: Sequence[Exchange], made: Sequence[Exchange]) -> Iterator[str]:
    """Forms with files that the recording has not."""
    for number, (each, now) in enumerate(zip(recorded, made, strict=True), 1):
        if is_lost(each):
            mend = (
                "write that step's form, files, json or body yourself"
                if now is each
                else "the fields are those of the page's form, with what they had at first"
            )
            yield (
                f"the recording has not what {shown(each)} (step {number}) sent (Chromium keeps no "
                f"upload): {mend}"
            )


def _told_of_cookies(exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Cookies that were there before the recording began."""
    set_here: set[str] = set()
    for each in exchanges:
        for name in re.findall(r"(?:^|;\s*)([^=;\s]+)=", value_of(each.headers, "Cookie")):
            if name not in set_here:
                yield (
                    f"the cookie {name} was there when the recording began: if it is a login's, "
                    "record anew in a private window, from before the login"
                )
            set_here.add(name)
        set_here |= {name for name, _ in each.answer.cookies}
