"""Journeys made ready to be sent to one site: each step as texts around its values."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote, quote_plus, urljoin, urlsplit

from pytest_winserve.load.journeys.cookies import CookieRules
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.steps import Step, content_type
from pytest_winserve.load.journeys.takes import COOKIE, JSON, Take
from pytest_winserve.load.journeys.templates import Template
from pytest_winserve.load.request_parts import PATH
from pytest_winserve.system.header_fields import value_of
from pytest_winserve.tags import REQUEST_HEADER

_OF_URLS = "%/:?&=+;,@!$'()*~[]"
"""What stands in a URL as it is: a value that was taken out of a page is one, or a part of one."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


class SiteNames:
    """What a site is called by its clients, and what of a URL leads to it."""

    def __init__(self, scheme: str, host: str) -> None:
        self.scheme = scheme
        self.host = host
        self.origin = f"{scheme}://{host}"

    def path_to(self, place: str, path: str) -> str | None:
        """The path (with the query) that a place in an answer to a request for `path` stands for;
        None when it leads to another site, or nowhere."""
        try:
            if not place.startswith("/") or place.startswith("//"):
                parts = urlsplit(urljoin(self.origin + path, place))
                if f"{parts.scheme}://{parts.netloc}".lower() != self.origin.lower():
                    return None
                place = f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
        except ValueError:
            return None
        found = quote(place.partition("#")[0], safe=_OF_URLS)
        return found if PATH.fullmatch(found) else None


class ReadyStep:
    """A step as bytes, but for its values and cookies."""

    def __init__(self, step: Step, journey: ReadyJourney, index: int) -> None:
        self.index = index
        """Its place in the plan's labels; what it follows has the next one."""
        self.expect = step.expected
        self.text = Template(step.expected.text) if step.expected.text else None
        self.plain_text = b""
        if self.text is not None and not self.text.names:
            self.plain_text = self.text.fill({}).encode()
        self.header = {name: Template(text) for name, text in step.expected.header.items()}
        self.takes = step.takes
        self.think = step.think
        self.follow = step.follow
        self.method = step.method
        self._journey = journey
        self._path = Template(step.path)
        self._plain_path = None if self._path.names else self._path.fill({})
        self._body = _body_of(step)
        headers = dict(step.headers)
        kind = content_type(step)
        if step.files:
            kind = f"multipart/form-data; boundary={_edge(step)}"
        if kind:
            headers = {"Content-Type": kind, **headers}
        self._headers = {name: Template(text) for name, text in headers.items()}
        self._plain_headers: str | None = None
        if not any(template.names for template in self._headers.values()):
            self._plain_headers = journey.head_of(_filled(self._headers, {}))
        self._own_cookie = bool(value_of(headers, "Cookie"))
        follow = {n: t for n, t in step.headers.items() if n.lower() != "content-type"}
        self._follow_headers = {name: Template(text) for name, text in follow.items()}

    def path(self, values: Mapping[str, str]) -> str:
        """Where it goes."""
        if self._plain_path is not None:
            return self._plain_path
        if self._path.whole is not None:
            return values[self._path.whole]
        return self._path.fill(values, self._journey.in_url)

    def data(self, path: str, values: Mapping[str, str], cookie: str, referer: str) -> bytes:
        """The request."""
        head = self._plain_headers
        if head is None:
            head = self._journey.head_of(_filled(self._headers, values))
        cookies = f"Cookie: {cookie}\r\n" if cookie and not self._own_cookie else ""
        if self.method == "GET":
            text = f"GET {path} HTTP/1.1\r\n{head}{cookies}\r\n"
            return text.encode("latin-1", "replace")
        body = self._body(values)
        page = f"Referer: {referer}\r\n" if referer else ""
        text = (
            f"{self.method} {path} HTTP/1.1\r\n{head}{cookies}{page}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return text.encode("latin-1", "replace") + body

    def follow_data(self, path: str, values: Mapping[str, str], cookie: str) -> bytes:
        """The request for where a redirect of it leads."""
        head = self._journey.head_of(_filled(self._follow_headers, values))
        sent = f"Cookie: {cookie}\r\n" if cookie and not self._own_cookie else ""
        return f"GET {path} HTTP/1.1\r\n{head}{sent}\r\n".encode("latin-1", "replace")


class ReadyJourney:
    """A journey that can be sent to one site."""

    def __init__(
        self, journey: Journey, host: str, tag: str | None, keepalive: bool, first: int
    ) -> None:
        self.cookies, journey = without_cookies(journey)
        self.journey = journey
        self._table = journey.table
        self._variables = journey.variables
        self._host = host
        self._more: dict[str, str] = {}
        if not keepalive:
            self._more["Connection"] = "close"
        if tag is not None:
            self._more[REQUEST_HEADER] = tag
        self._from_pages = from_pages(journey)
        self.places = {
            whole for step in journey.steps if (whole := Template(step.path).whole) is not None
        }
        """The values that are a whole path."""
        self.takes: tuple[Take, ...] = tuple(
            take for step in journey.steps for take in step.takes.values()
        )
        self.steps: list[ReadyStep] = []
        for step in journey.steps:
            self.steps.append(ReadyStep(step, self, first))
            first += 1 + step.follow
        self.end = first

    def values_of(self, user: int) -> dict[str, str]:
        """What a user has when it begins; see `Journey.values_of`."""
        if self._table is None:
            return dict(self._variables)
        return self._variables | self._table.of(user, self.journey.rows)

    def in_url(self, name: str, value: str) -> str:
        """A value as a part of a URL."""
        return quote(value, safe=_OF_URLS if name in self._from_pages else "")

    def head_of(self, headers: Mapping[str, str]) -> str:
        """The header lines of a request, but for its cookies and length."""
        own = {} if value_of(headers, "Host") else {"Host": self._host}
        lines = [f"{name}: {text}\r\n" for name, text in (own | dict(headers) | self._more).items()]
        return "".join(lines)


class Journeys:
    """The journeys of a load, ready for one site. `tag` marks the requests; `seed` is that of the
    chance by which users choose."""

    def __init__(
        self,
        journeys: Sequence[Journey],
        url: str,
        tag: str | None,
        *,
        keepalive: bool = True,
        seed: int = 0,
    ) -> None:
        scheme, _, host = url.partition("://")
        named = [value_of(step.headers, "Host") for journey in journeys for step in journey.steps]
        called = next((name for name in named if name), host)
        self.names = SiteNames(scheme, called)
        self.rules = CookieRules(self.names.origin)
        self.all: list[ReadyJourney] = []
        first = 0
        for journey in journeys:
            ready = ReadyJourney(journey, host, tag, keepalive, first)
            self.all.append(ready)
            first = ready.end
        self._chosen = self._choices(random.Random(seed))  # reproducible, not secret

    def _choices(self, chance: random.Random) -> Iterator[int]:
        weights = list(itertools.accumulate(ready.journey.weight for ready in self.all))
        places = range(len(self.all))
        while True:
            yield from chance.choices(places, cum_weights=weights, k=256)

    def choose(self) -> int:
        """The place of the journey that a user takes up, by chance and weight."""
        return 0 if len(self.all) == 1 else next(self._chosen)


def from_pages(journey: Journey) -> set[str]:
    """The values that are taken out of pages and headers, and so are pieces of URLs already."""
    return {
        name
        for step in journey.steps
        for name, take in step.takes.items()
        if not take.where.startswith((JSON, COOKIE))
    }


def without_cookies(journey: Journey) -> tuple[dict[str, str], Journey]:
    """The cookies that every step's headers name alike, which a user then has from the beginning;
    and the journey without them."""
    texts = {value_of(step.headers, "Cookie") for step in journey.steps}
    if len(texts) != 1 or "" in texts or Template(text := texts.pop()).names:
        return {}, journey
    pairs = [pair.strip().partition("=") for pair in text.split(";")]
    steps = [
        replace(step, headers={n: t for n, t in step.headers.items() if n.lower() != "cookie"})
        for step in journey.steps
    ]
    return {name: value for name, _, value in pairs if name}, replace(journey, steps=steps)


def _filled(headers: Mapping[str, Template], values: Mapping[str, str]) -> dict[str, str]:
    return {name: template.fill(values, _in_header) for name, template in headers.items()}


def _in_header(_: str, value: str) -> str:
    return "".join(c for c in value if c == "\t" or (c >= " " and c != "\x7f"))


def _in_json(_: str, value: str) -> str:
    return json.dumps(value)[1:-1]


def _in_form(_: str, value: str) -> str:
    # Tokens are what stands in forms, and need no quoting, which takes longer than to see that.
    return value if _PLAIN(value) else quote_plus(value)


def _body_of(step: Step) -> Callable[[Mapping[str, str]], bytes]:
    """What makes a step's body of the values."""
    if step.files:
        return _multipart(step)
    if step.form is not None:
        return _of_text(form_text(step.form), _in_form)
    if step.json is not None:
        return _of_text(step.json_text, _in_json)
    if step.body is not None:
        return _of_text(step.body, None)
    return lambda _: b""


def form_text(form: Mapping[str, str]) -> str:
    """What a form is sent as, with the names of values."""
    return "&".join(
        f"{quote_plus(name)}=" + "".join(_form_parts(text)) for name, text in form.items()
    )


def _form_parts(text: str) -> Iterator[str]:
    """A field's text in a form, with the names of values as they are."""
    template = Template(text)
    names = iter(template.in_turn)
    for literal in template.literals:
        yield quote_plus(literal)
        if (name := next(names, None)) is not None:
            yield f"{{{name}}}"


def _of_text(
    text: str, written: Callable[[str, str], str] | None
) -> Callable[[Mapping[str, str]], bytes]:
    template = Template(text)
    if not template.names:
        fixed = template.fill({}).encode()
        return lambda _: fixed
    return lambda values: template.fill(values, written).encode("utf-8", "surrogateescape")


def _edge(step: Step) -> str:
    """What stands between the parts of a step's body, and nowhere in them."""
    made = hashlib.sha256()
    for each in step.uploads.values():
        made.update(each.content)
    return f"winserve-{made.hexdigest()[:40]}"


def _multipart(step: Step) -> Callable[[Mapping[str, str]], bytes]:
    edge = _edge(step).encode()
    fields = [(_quoted(name), Template(text)) for name, text in (step.form or {}).items()]
    files = b"".join(
        b"--%b\r\nContent-Disposition: form-data; name=%b; filename=%b\r\nContent-Type: %b\r\n\r\n"
        b"%b\r\n" % (edge, _quoted(name), _quoted(each.name), each.type.encode(), each.content)
        for name, each in step.uploads.items()
    )

    def body(values: Mapping[str, str]) -> bytes:
        parts = [
            b"--%b\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"
            % (edge, name, template.fill(values).encode())
            for name, template in fields
        ]
        return b"".join(parts) + files + b"--%b--\r\n" % edge

    return body


def _quoted(text: str) -> bytes:
    safe = text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return f'"{safe}"'.encode()
