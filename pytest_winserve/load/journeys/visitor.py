"""One user on a journey: which request comes next, and whether an answer is as it should be.

Nothing is sent here. An engine sends what a visitor asks for and shows it the answer, so that every
engine walks a journey in the same way.
"""

from __future__ import annotations

import contextlib
import html
import random
import re
import zlib
from collections.abc import Sequence

from pytest_winserve.load.journeys.compiled import Journeys, ReadyJourney, ReadyStep
from pytest_winserve.load.journeys.cookies import Jar
from pytest_winserve.load.journeys.journey import MOST_FOLLOWED
from pytest_winserve.load.journeys.masking import beginning, masked
from pytest_winserve.load.journeys.passes import Unmet
from pytest_winserve.load.journeys.templates import Template
from pytest_winserve.load.measures.outcomes import is_redirect

KEEPS_METHOD = (307, 308)
_CHARSET = re.compile(rb"charset=[\"']?([\w.:-]+)", re.I)

Fields = Sequence[tuple[bytes, bytes]]
"""The header fields of an answer, names in small letters."""


class Answer:
    """An answer as a step looks at it; its text is made when it is wanted."""

    __slots__ = ("_text", "body", "fields", "status")

    def __init__(self, status: int, fields: Fields, body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self._text: str | None = None

    def header(self, name: str) -> str | None:
        """The first field of that name, which is given in small letters."""
        wanted = name.encode()
        found = next((value for key, value in self.fields if key == wanted), None)
        return None if found is None else found.decode("latin-1")

    @property
    def text(self) -> str:
        """The body as a text, by its charset."""
        if self._text is None:
            kind = packed = b""
            for name, value in self.fields:
                if name == b"content-type":
                    kind = value
                elif name == b"content-encoding":
                    packed = value
            body = _unpacked(self.body, packed) if packed else self.body
            found = _CHARSET.search(kind) if b"charset" in kind else None
            try:
                charset = "utf-8" if found is None else found[1].decode("ascii")
                self._text = body.decode(charset, "replace")
            except LookupError:
                self._text = body.decode("utf-8", "replace")
        return self._text

    @property
    def is_html(self) -> bool:
        return "html" in (self.header("content-type") or "html")


def _unpacked(body: bytes, how: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        if how.lower() in {b"gzip", b"deflate"}:
            return zlib.decompress(body, zlib.MAX_WBITS | 32)
    return body


class Visitor:
    """A user with its cookies, its row of the data and its values."""

    __slots__ = (
        "_again", "_hops", "_jar", "_journeys", "_number", "_page", "_place", "_ready", "_values",
        "at", "chosen", "index", "path",
    )  # fmt: skip

    def __init__(self, journeys: Journeys, number: int) -> None:
        self._journeys = journeys
        self._number = number
        self._jar: Jar | None = None
        self._values: dict[str, str] = {}
        self._ready: ReadyJourney = journeys.all[0]
        self.chosen = -1
        """The place of the journey that it is on; -1 when it is on none."""
        self.at = 0
        """The step that it is at, from 0."""
        self._hops = 0
        self._again = False
        self._place: str | None = None
        self._page = ""
        self.path = ""
        self.index = 0
        """What it asks for now, as a place in the plan's labels."""

    @property
    def on_the_way(self) -> bool:
        return self.chosen >= 0

    @property
    def step(self) -> ReadyStep:
        return self._ready.steps[self.at]

    @property
    def values(self) -> dict[str, str]:
        """What it has: its row of the data, and what it took."""
        return self._values

    @property
    def jar(self) -> Jar:
        """Its cookies."""
        assert self._jar is not None
        return self._jar

    def set_out(self) -> None:
        """Begin a journey, as somebody who has not been there before; the row stays the same."""
        self.chosen = self._journeys.choose()
        self._ready = ready = self._journeys.all[self.chosen]
        self._values = ready.values_of(self._number)
        self._jar = jar = Jar(self._journeys.rules)
        for name, value in ready.cookies.items():
            jar.put(name, value)
        self.at = self._hops = 0
        self._place = None
        self._page = ""

    def give_up(self) -> None:
        """The journey is over for it, at its end or before."""
        self.chosen = -1

    def request(self) -> bytes:
        """What it sends now."""
        step = self._ready.steps[self.at]
        assert self._jar is not None
        place = self._place
        if place is None:
            self.index = step.index
            self.path = path = step.path(self._values)
            return step.data(path, self._values, self._jar.header(path), self._page)
        self.index = step.index + 1
        self.path = place
        if self._again:
            return step.data(place, self._values, self._jar.header(place), self._page)
        return step.follow_data(place, self._values, self._jar.header(place))

    def take_in(self, answer: Answer) -> Unmet | None:
        """Look at the answer to the request; what did not hold of it. Afterwards it is at the next
        request, or at the end."""
        step = self._ready.steps[self.at]
        jar = self._jar
        assert jar is not None
        for name, value in answer.fields:
            if name == b"set-cookie":
                jar.set(value.decode("latin-1"), self.path)
        if step.follow and is_redirect(str(answer.status)):
            return self._follow(step, answer)
        unmet = self._judge(step, answer)
        if unmet is not None:
            return self._unmet(unmet, answer)
        if step.method == "GET" or self._hops:
            self._page = self._journeys.names.origin + self.path
        self._hops = 0
        self._place = None
        self.at += 1
        return None

    @property
    def arrived(self) -> bool:
        """Whether no step is left."""
        return self.at >= len(self._ready.steps)

    @property
    def following(self) -> bool:
        """Whether it is on its way to where a redirect leads."""
        return self._place is not None

    def _follow(self, step: ReadyStep, answer: Answer) -> Unmet | None:
        if self._hops >= MOST_FOLLOWED:
            return self._unmet(f"an end of the redirects after {MOST_FOLLOWED}", answer)
        place = self._journeys.names.path_to(answer.header("location") or "", self.path)
        if place is None or not answer.header("location"):
            return self._unmet("a redirect that stays on the site", answer)
        self._hops += 1
        self._place = place
        # What was sent is sent again only there; any other redirect is followed by GET.
        self._again = answer.status in KEEPS_METHOD and (self._again or self._hops == 1)
        return None

    def _judge(self, step: ReadyStep, answer: Answer) -> str | None:
        """What does not hold, in words; and take what is to be taken."""
        wanted, status = step.expect.status, answer.status
        if status not in wanted if wanted else not 200 <= status < 400:
            return step.expect.status_words
        if step.text is not None and not self._has_text(step.text, step.plain_text, answer):
            return f"text {step.expect.text!r}"
        for name, template in step.header.items():
            if template.fill(self._values) not in (answer.header(name.lower()) or ""):
                return f"header {name}: {template.text!r}"
        for name, take in step.takes.items():
            value = self.jar.value(take.cookie) if take.cookie else take.find(answer)
            if value is not None and name in self._ready.places:
                value = self._journeys.names.path_to(value, self.path)
                if value is None:
                    return f"{{{name}}} to be a path of the site (by {take.where})"
            if value is None:
                return f"{{{name}}} to be found by {take.where}"
            self._values[name] = value
        return None

    def _has_text(self, text: Template, plain: bytes, answer: Answer) -> bool:
        if plain and plain in answer.body:
            return True
        wanted = text.fill(self._values)
        return wanted in answer.text or wanted in html.unescape(answer.text)

    def _unmet(self, expected: str, answer: Answer) -> Unmet:
        secrets = self.secrets(answer)
        place = masked((answer.header("location") or "").partition("?")[0][:200], secrets)
        text = beginning(answer.text, secrets)
        return Unmet(expected, str(answer.status), place, text)

    def secrets(self, answer: Answer | None = None) -> list[str]:
        """What must not be shown: what it has, and what the journey would take of the answer."""
        found = [*self._values.values(), *self.jar.values()]
        if answer is not None:
            for take in self._ready.takes:
                found += take.all_in(answer.text)
        return found

    def pause(self, otherwise: float) -> float:
        """Seconds that it waits after the step that it has just made."""
        think = self._ready.steps[self.at - 1].think if self.at else None
        if think is None:
            return otherwise
        return random.uniform(*think) if isinstance(think, tuple) else think
