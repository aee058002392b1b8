"""The forms of a page: their fields, as far as HTML says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from pytest_winserve.drafts.har_file import Body, Exchange, Upload
from pytest_winserve.system.header_fields import value_of

MULTIPART = "multipart/form-data"
_NO_VALUE = ("button", "image", "reset", "submit")
_CHOICES = ("checkbox", "radio")


@dataclass(slots=True)
class Field:
    """A field of a form: its name, its type (`hidden`, `text`, ...), and what it has at first."""

    name: str
    type: str
    value: str


@dataclass(slots=True)
class Form:
    """A form: where it is sent to, how, and its fields."""

    action: str
    method: str
    multipart: bool
    fields: list[Field] = field(default_factory=list)

    @property
    def asks_password(self) -> bool:
        return any(each.type == "password" for each in self.fields)


def forms_in(page: str) -> list[Form]:
    """The forms of a page of HTML."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.forms


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self._open = False
        self._text: Field | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            multipart = has.get("enctype", "").lower() == MULTIPART
            self.forms.append(Form(has.get("action", ""), has.get("method", "get"), multipart))
            self._open = True
        elif self._open and tag in ("input", "textarea", "select") and has.get("name"):
            kind = has.get("type", "text").lower() if tag == "input" else tag
            if kind in _NO_VALUE or (kind in _CHOICES and "checked" not in has):
                return
            value = has.get("value", "on" if kind in _CHOICES else "")
            self.forms[-1].fields.append(Field(has["name"], kind, value))
            self._text = self.forms[-1].fields[-1] if tag == "textarea" else None
        elif self._open and tag == "option" and self.forms[-1].fields:
            last = self.forms[-1].fields[-1]
            if last.type == "select" and ("selected" in has or not last.value):
                last.value = has.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "form"
        self._text = None if tag == "textarea" else self._text

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            # The first line break of a textarea is none of its text.
            self._text.value += data if self._text.value else data.removeprefix("\n")


def is_lost(each: Exchange) -> bool:
    """Whether a recording has not what a request sent: Chromium keeps no form with files."""
    body = each.body
    if body is None or each.method == "GET" or body.form or body.files or body.text.strip():
        return False
    length = value_of(each.headers, "Content-Length", "0")
    return body.type == MULTIPART or length != "0"


def with_lost_forms(exchanges: Sequence[Exchange]) -> Iterator[Exchange]:
    """The exchanges; what a form with files sent is as the page had it, where it is not kept."""
    for number, each in enumerate(exchanges):
        form = _form_of(each, exchanges[:number]) if is_lost(each) else None
        if form is None:
            yield each
            continue
        yield replace(
            each,
            body=Body(
                MULTIPART,
                "",
                tuple((f.name, f.value) for f in form.fields if f.type != "file"),
                tuple(Upload(f.name, f.name) for f in form.fields if f.type == "file"),
            ),
        )


def _form_of(each: Exchange, before: Sequence[Exchange]) -> Form | None:
    path = urlsplit(each.path).path
    for page in reversed(before):
        if "html" not in page.answer.type or not page.answer.body:
            continue
        for form in forms_in(page.answer.body):
            action = urlsplit(urljoin(page.url, form.action or page.url)).path
            if form.multipart and each.body and each.body.type == MULTIPART and action == path:
                return form
    return None
