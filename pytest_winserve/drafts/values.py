"""Which values of a recording are others for each user: those that come with an answer and go back
in a request, and those that a user knows and nobody else may."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pytest_winserve.drafts import places, takes
from pytest_winserve.drafts.chosen import target_of
from pytest_winserve.drafts.har_file import Exchange
from pytest_winserve.drafts.places import Place, places_of, shown
from pytest_winserve.drafts.secret_names import (
    is_csrf,
    is_key,
    is_login_name,
    is_password,
    is_secret_header,
    is_uuid,
    looks_made,
    looks_secret,
    may_be_a_key,
    plain,
)
from pytest_winserve.system.header_fields import value_of

SHORTEST_NAME = 3
"""A login's name with fewer characters is looked for nowhere else."""
SHORTEST_SURE = 8
"""A value with fewer characters may be there by chance, in another request."""


@dataclass(slots=True)
class Taken:
    """A value that comes with the answer of an exchange, by its number, and goes back in others."""

    value: str
    source: int
    where: str
    word: str
    last: int
    """The last exchange that uses it."""
    seen: bool = True
    """Whether the recording has the answer in which it must be."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A value that each user has of its own."""

    name: str
    value: str


@dataclass(slots=True)
class Values:
    """What was found: by exchange and place, what stands there instead."""

    at: dict[tuple[int, Place], Taken | Column] = field(default_factory=dict)
    paths: dict[int, Taken] = field(default_factory=dict)
    """By exchange, the redirect's target that is its whole path."""
    taken: list[Taken] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """What the maker of the recording should know."""
    secrets: set[str] = field(default_factory=set)
    """Values that are written nowhere."""


def values_of(exchanges: Sequence[Exchange]) -> Values:
    """The values of a journey's exchanges."""
    search = _Search(exchanges)
    for number, each in enumerate(exchanges):
        search.exchange(number, each)
    search.name_all()
    return search.found


class _Search:
    """Goes through the exchanges once, in their order."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._all = exchanges
        self._targets = [target_of(each) for each in exchanges]
        self._places = [list(places_of(each)) for each in exchanges]
        self.found = Values(secrets=set(_kept_secret(exchanges)))
        self._made: set[str] = set()  # parts of paths that requests have made
        self._by_value: dict[str, Column] = {}

    def exchange(self, number: int, each: Exchange) -> None:
        self._redirected(number, each)
        here = self._places[number]
        knows_password = any(self._is_password(place) for place in here)
        for place in here:
            if place.kind in (places.SEGMENT, places.QUERY) and number in self.found.paths:
                continue
            if not place.value:
                continue
            what = self._what(number, each, place, knows_password)
            if what is not None:
                self.found.at[number, place] = what
        self._note_what_it_made(number, each)

    def _redirected(self, number: int, each: Exchange) -> None:
        """A request to where the redirect before it leads, if that is another place each time."""
        for before in range(number - 1, -1, -1):
            if self._targets[before] != each.url or each.method != "GET":
                continue
            if before < number - 1 and not self._follows(before, number):
                return
            if new_parts(self._all[before]):
                text = value_of(self._all[before].answer.headers, "Location")
                taken = self._new(text, before, "header:Location", "location", number)
                self.found.paths[number] = taken
            return

    def _follows(self, before: int, number: int) -> bool:
        """Whether the exchanges between are those of the page that was left."""
        return self._all[number].started - self._all[before].ended < 1.0

    def _what(
        self, number: int, each: Exchange, place: Place, knows_password: bool
    ) -> Taken | Column | None:
        if self._is_password(place):
            return self._column(place)
        if self._is_again(number, place):
            return self._by_value[place.value]
        if self._worth(number, place):
            taken = self._taken(number, each, place)
            if taken is not None:
                return taken
            if is_csrf(place.name):
                return self._not_found(number, place)
        if place.kind == places.HEADER:
            return self._column(place) if is_secret_header(place.name) else None
        if place.kind == places.TEXT or self._is_secret(place):
            return self._column(place)
        if place.kind == places.SEGMENT:
            if place.value in self._made:
                self._tell_of_a_made_part(each, place)
            return None
        if knows_password and is_login_name(place.name) and place.quoted:
            return self._column(place)
        return None

    def _is_again(self, number: int, place: Place) -> bool:
        """Whether it is a value of a user's own once more, and not a word that is like it."""
        column = self._by_value.get(place.value)
        if column is None or place.kind == places.HEADER:
            return False
        if place.kind == places.SEGMENT:  # `/user/admin`, but not `/admin`
            return place.at > (1,)
        same = any(what is column for (other, _), what in self.found.at.items() if other == number)
        return same or len(place.value) >= SHORTEST_SURE or is_login_name(place.name)

    @staticmethod
    def _is_password(place: Place) -> bool:
        return place.kind not in (places.SEGMENT, places.HEADER) and is_password(place.name)

    @staticmethod
    def _is_secret(place: Place) -> bool:
        if looks_secret(place.value):
            return True
        named = place.kind != places.SEGMENT and is_key(place.name)
        return named and place.quoted and may_be_a_key(place.value)

    def _worth(self, number: int, place: Place) -> bool:
        """Whether it is looked for in the answers before."""
        value = place.value
        if value in self._made or looks_made(value):
            return True
        if place.kind == places.HEADER:
            return is_secret_header(place.name)
        if place.kind == places.SEGMENT:
            return is_uuid(value)
        if is_key(place.name) and place.quoted:
            return len(value) >= takes.SHORT
        return place.kind == places.FIELD and self._is_hidden(number, place)

    def _is_hidden(self, number: int, place: Place) -> bool:
        """Whether it is a hidden field that a page before has given, and no constant."""
        if not any(c.isdigit() for c in place.value):
            return False
        tag = re.compile(rf"<input\b[^>]*name=[\"']{re.escape(place.name)}[\"'][^>]*>", re.I)
        for each in reversed(self._all[:number]):
            body = each.answer.body or ""
            tags = [found[0] for found in tag.finditer(body)] if place.name in body else []
            if tags:
                return any("hidden" in text and place.value in text for text in tags)
        return False

    def _taken(self, number: int, each: Exchange, place: Place) -> Taken | None:
        for known in reversed(self.found.taken):
            if known.value == place.value and known.source < number:
                known.last = number
                return known
        path = urlsplit(each.path).path if place.kind == places.SEGMENT else ""
        for source in range(number - 1, -1, -1):
            answer = self._all[source].answer
            where = takes.take_of(place.value, place.name, answer, unquote(path))
            if where is not None and not any(secret in where for secret in self.found.secrets):
                word = _word(where, place)
                return self._new(place.value, source, where, word, number)
        return None

    def _new(self, value: str, source: int, where: str, word: str, last: int) -> Taken:
        for known in self.found.taken:
            if (known.value, known.source, known.where) == (value, source, where):
                known.last = max(known.last, last)
                return known
        taken = Taken(value, source, where, word, last)
        self.found.taken.append(taken)
        if looks_made(value) and not is_uuid(value):
            self.found.secrets.add(value)
        return taken

    def _not_found(self, number: int, place: Place) -> Taken | Column:
        """A token that no answer of the recording has."""
        request = shown(self._all[number])
        for source in range(number - 1, -1, -1):
            for cookie, text in self._all[source].answer.cookies:
                if unquote(text) == place.value:
                    where = f"cookie:{cookie}"
                    return self._new(place.value, source, where, plain(place.name), number)
        cookie = self._cookie_sent_with(place.value)
        if cookie:
            self.found.told.append(
                f"{place.name} of {request} is what the cookie {cookie} has, and no answer of the "
                "recording sets that: begin it before the page that does, in a private window"
            )
            return self._column(place)
        page = self._page_without_body(number)
        if page is None:
            self.found.told.append(
                f"{place.name} of {request} is in no answer of the recording: begin it before "
                "the page that has it, in a private window"
            )
            return self._column(place)
        header = place.kind == places.HEADER
        where = takes.guessed(place.name, header=header)
        taken = self._new(place.value, page, where, plain(place.name), number)
        taken.seen = False
        self.found.secrets.add(place.value)
        return taken

    def _cookie_sent_with(self, value: str) -> str:
        return next(
            (
                name
                for each in self._all
                for name, text in _cookies_sent(each)
                if value in (text, unquote(text))
            ),
            "",
        )

    def _page_without_body(self, number: int) -> int | None:
        """The last page before a request, if the recording has not its body."""
        for source in range(number - 1, -1, -1):
            each = self._all[source]
            if each.method == "GET" and each.answer.status == 200:
                return source if each.answer.body is None else None
        return None

    def _column(self, place: Place) -> Column:
        if place.value in self._by_value:
            return self._by_value[place.value]
        name = _free(_identifier(place.name), self.found.columns)
        column = Column(name, place.value)
        self.found.columns[name] = column
        if len(place.value) >= SHORTEST_NAME or is_password(place.name):
            self._by_value[place.value] = column
        if not is_login_name(place.name) or is_password(place.name) or is_key(place.name):
            self.found.secrets.add(place.value)
        return column

    def _note_what_it_made(self, number: int, each: Exchange) -> None:
        """The ids of what a request has made: in where it leads, or in the JSON of its answer."""
        if each.method == "GET":
            return
        self._made |= set(new_parts(each))
        if "json" in each.answer.type and each.answer.body:
            later = {
                place.value
                for here in self._places[number + 1 :]
                for place in here
                if place.kind == places.SEGMENT and any(c.isdigit() for c in place.value)
            }
            sent = {place.value for place in self._places[number]}
            self._made |= (later - sent) & takes.ids_in(each.answer.body)

    def _tell_of_a_made_part(self, each: Exchange, place: Place) -> None:
        part = "*" if looks_made(place.value) else place.value
        text = (
            f"{part} in {shown(each)} was made during the recording, and no page before it has a "
            "link to it: it stays as it was"
        )
        if text not in self.found.told:
            self.found.told.append(text)

    def name_all(self) -> None:
        """Names for what is taken: the same one again where the value before is used no more."""
        used: list[Taken] = []
        for taken in sorted(self.found.taken, key=lambda each: (each.source, each.last)):
            word, number = taken.word, 1
            while word in self.found.columns or any(
                other.name == word and (other.last > taken.source or other.source == taken.source)
                for other in used
            ):
                number += 1
                word = f"{taken.word}_{number}"
            taken.name = word
            used.append(taken)


def new_parts(each: Exchange) -> list[str]:
    """What is in the path of a redirect's target, looks like an id, and was not in the request."""
    target = target_of(each)
    if target is None:
        return []
    parts = [unquote(part) for part in urlsplit(target).path.split("/")]
    known = {place.value for place in places_of(each)}
    return [
        part
        for part in parts
        if part and part not in known and (part.isdigit() or is_uuid(part) or looks_made(part))
    ]


def _kept_secret(exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Values of cookies that look like keys."""
    for each in exchanges:
        for _, value in (*each.answer.cookies, *_cookies_sent(each)):
            if looks_made(value) or looks_secret(value):
                yield value


def _cookies_sent(each: Exchange) -> Iterator[tuple[str, str]]:
    for pair in value_of(each.headers, "Cookie").split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals:
            yield name, value


def _word(where: str, place: Place) -> str:
    """What a taken value is called."""
    if where.startswith("json:") and place.kind in (places.HEADER, places.SEGMENT):
        key = re.split(r"[.\[\]\"]+", where.removeprefix("json:").rstrip('"]'))[-1]
        if key and not key.isdigit() and plain(key) != "id":
            return _identifier(key)
    return _identifier(place.name)


def _identifier(name: str) -> str:
    word = plain(name) or "value"
    return f"_{word}" if word[0].isdigit() else word


def _free(word: str, taken: dict[str, Column]) -> str:
    name, number = word, 1
    while name in taken:
        number += 1
        name = f"{word}_{number}"
    return name
