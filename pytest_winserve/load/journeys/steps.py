"""One step of a journey: a request, what is taken of its answer, and what is expected of it."""

from __future__ import annotations

import base64
import json
import math
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_winserve.errors import UsageError
from pytest_winserve.load.journeys.takes import Take
from pytest_winserve.load.journeys.templates import NAME, Template
from pytest_winserve.load.request_parts import (
    NOT_SHOWN,
    SECRET_NAME,
    check_path,
    checked_headers,
)
from pytest_winserve.system.header_fields import merged, value_of

METHODS = ("get", "post", "put", "patch", "delete")
BODIES = ("form", "json", "body")
_EXPECTED = ("status", "text", "header")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a step sends."""

    name: str
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, place: Path) -> Upload:
        """The file at that path. Raises UsageError."""
        try:
            return cls(place.name, place.read_bytes())
        except OSError as error:
            raise UsageError(f"files: {place} cannot be read: {error}") from None

    @property
    def type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Expect:
    """What must hold of an answer. `status`: one of these; empty for any 2xx or 3xx. `text` is in
    the body, and the text of each of `header` in that header."""

    status: tuple[int, ...] = ()
    text: str = ""
    header: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_words(self) -> str:
        """`status 302`"""
        return f"status {' or '.join(map(str, self.status)) or '2xx or 3xx'}"

    @classmethod
    def of(cls, given: object) -> Expect:
        """From a mapping as in a file. Raises UsageError."""
        if isinstance(given, Expect):
            return given
        if not isinstance(given, Mapping):
            raise UsageError(
                f"expect={given!r}: a table is needed, such as {{ status = 302, text = 'Hello' }}"
            )
        for key in given:
            if key not in _EXPECTED:
                raise UnknownKeyError(str(key), _EXPECTED, "expect: ")
        status, text, header = (given.get(key) for key in _EXPECTED)
        statuses = [] if status is None else _as_list(status)
        for one in statuses:
            if isinstance(one, bool) or not isinstance(one, int) or not 100 <= one <= 599:
                raise UsageError(f"expect: status={one!r}: a number from 100 to 599 is needed")
        if text is not None and (not isinstance(text, str) or not text):
            raise UsageError(f"expect: text={text!r}: a text that is in the page is needed")
        if header is not None and not (
            isinstance(header, Mapping) and all(isinstance(t, str) for t in header.values())
        ):
            raise UsageError(
                "expect: header: a table of names and texts is needed, such as "
                "{ Location = '/orders' }"
            )
        return cls(tuple(statuses), text or "", dict(header or {}))


class UnknownKeyError(UsageError):
    """A key that is not known; `known` are those that are. `where` stands before it."""

    def __init__(self, key: str, known: Sequence[str], where: str = "") -> None:
        self.key = key
        super().__init__(f"{where}there is no key {key!r}; {nearest(key, known)}")


def nearest(name: str, known: Sequence[str]) -> str:
    """`did you mean get?`, or which are known."""
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a user, by the path of one of `get`, `post`, `put`, `patch` and `delete`.

    `form`, `json` or `body` is what it sends; `files` are uploads by the form's field. `take` has
    the values to take from its answer by name (see `Take`), `expect` what must hold of it (see
    `Expect`). After it the user waits `think` seconds, or some between two. With `follow` it goes
    where redirects lead. UsageError for what cannot be sent.
    """

    get: str | None = None
    post: str | None = None
    put: str | None = None
    patch: str | None = None
    delete: str | None = None
    name: str | None = None
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Any = field(default=None, repr=False)
    body: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, Upload | str | Path] = field(default_factory=dict, repr=False)
    take: Mapping[str, Take | str] = field(default_factory=dict)
    expect: Expect | Mapping[str, Any] = field(default_factory=Expect)
    think: float | tuple[float, float] | None = None
    follow: bool = False

    def __post_init__(self) -> None:
        given = [name for name in METHODS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are both there" if given else "none of them is there"
            raise UsageError(
                f"a step has one of {', '.join(METHODS)}, such as get = '/login': {found}"
            )
        _check_place(getattr(self, given[0]))
        if self.name is not None and (not isinstance(self.name, str) or not self.name.strip()):
            raise UsageError(f"name={self.name!r}: a text is needed")
        if not isinstance(self.follow, bool):
            raise UsageError(f"follow={self.follow!r}: true or false is needed")
        self._set("headers", checked_headers(self.headers))
        self._set_content()
        self._set("take", _taken(self.take))
        self._set("expect", Expect.of(self.expect))
        self._set("think", _think(self.think))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _set_content(self) -> None:
        given = [name for name in BODIES if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} in one step: one is needed")
        if self.form is not None:
            self._set("form", _texts("form", self.form))
        if self.body is not None and not isinstance(self.body, str):
            raise UsageError("body is a text; json = {...} for JSON, form = {...} for a form")
        if not isinstance(self.files, Mapping):
            raise UsageError("files: a table of a form's fields and paths, { photo = 'cat.png' }")
        if self.files and given and given != ["form"]:
            raise UsageError(f"files with {given[0]}: files are sent with a form only")
        if self.json is not None:
            try:
                json.dumps(self.json)
            except (TypeError, ValueError) as error:  # a date of TOML
                raise UsageError(f"json: {error}; write it as a text") from None
        files = {
            str(name): each if isinstance(each, Upload) else Upload.read(Path(each))
            for name, each in self.files.items()
        }
        self._set("files", files)
        if self.get is not None and (given or files):
            raise UsageError(
                f"get with {(given or ['files'])[0]}: a GET sends nothing; post = ... sends it, "
                "and a query stands in the path: get = '/orders?page=2'"
            )

    @property
    def method(self) -> str:
        """`GET`"""
        return next(name for name in METHODS if getattr(self, name) is not None).upper()

    @property
    def path(self) -> str:
        """The path as it is written, with `{names}` of values."""
        return str(getattr(self, self.method.lower()))

    @property
    def label(self) -> str:
        """Its name, or `GET /orders/{id}`."""
        return self.name or f"{self.method} {self.path}"

    @property
    def takes(self) -> dict[str, Take]:
        """`take`, for the type checker."""
        return {name: take for name, take in self.take.items() if isinstance(take, Take)}

    @property
    def uploads(self) -> dict[str, Upload]:
        """`files`, for the type checker."""
        return {name: each for name, each in self.files.items() if isinstance(each, Upload)}

    @property
    def expected(self) -> Expect:
        """`expect`, for the type checker."""
        assert isinstance(self.expect, Expect)
        return self.expect

    @property
    def json_text(self) -> str:
        """What `json` is written as, with the names of values."""
        return json.dumps(self.json)

    @property
    def body_size(self) -> int:
        """About how many bytes it sends."""
        texts = [self.body or "", *(f"{n}={text}&" for n, text in (self.form or {}).items())]
        size = sum(len(text.encode()) for text in texts)
        size += sum(len(each.content) for each in self.uploads.values())
        return size + (0 if self.json is None else len(self.json_text))

    @property
    def sent(self) -> Iterator[Template]:
        """The texts of its request."""
        yield Template(self.path)
        yield from map(Template, self.headers.values())
        yield from map(Template, (self.form or {}).values())
        if self.json is not None:
            yield Template(self.json_text)
        if self.body is not None:
            yield Template(self.body)

    @property
    def judged(self) -> Iterator[Template]:
        """The texts that its answer is held against."""
        yield Template(self.expected.text)
        yield from map(Template, self.expected.header.values())

    def with_headers(self, headers: Mapping[str, str]) -> Step:
        """This step with more headers; what it names itself stays."""
        return replace(self, headers=merged(headers, self.headers))

    def without_secrets(self) -> Step:
        """This step without what may be a secret by its name: headers, fields of a form, texts in
        JSON. A name of a value (`{password}`) is none."""
        return replace(
            self,
            headers=_hidden(self.headers),
            form=None if self.form is None else _hidden(self.form),
            json=_hidden_json(self.json),
            files={name: Upload(each.name, b"") for name, each in self.uploads.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        made = {each.name: getattr(self, each.name) for each in fields(self)}
        expect = self.expected
        made["take"] = {name: take.where for name, take in self.takes.items()}
        made["files"] = {
            name: {"name": each.name, "content": base64.b64encode(each.content).decode("ascii")}
            for name, each in self.uploads.items()
        }
        made["expect"] = {
            key: value
            for key, value in (
                ("status", list(expect.status)),
                ("text", expect.text),
                ("header", dict(expect.header)),
            )
            if value
        }
        left_out = ("headers", "files", "take", "expect", "follow")
        return {
            key: value
            for key, value in made.items()
            if value is not None and (value or key not in left_out)
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Step:
        """The inverse of to_dict."""
        files = {
            name: Upload(each["name"], base64.b64decode(each["content"]))
            for name, each in data.get("files", {}).items()
        }
        return cls(**{**data, "files": files})


def _check_place(path: object) -> None:
    """UsageError for what is no path of the site; a value in it stands for something."""
    if not isinstance(path, str):
        raise UsageError(f"{path!r}: a path is needed, such as '/login'")
    template = Template(path)
    if template.whole is not None:
        return
    if path.startswith("//") or urlsplit(path).netloc or urlsplit(path).scheme in {"http", "https"}:
        raise UsageError(
            f"{path!r} names a host: a journey stays on one site, so a step has a path only, "
            f"such as {urlsplit(path).path or '/'!r}"
        )
    check_path("x".join(template.literals))


def _texts(what: str, given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise UsageError(f"{what}: a table of names and texts is needed, such as {{ q = 'shoes' }}")
    made = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UsageError(f"{what}: {name}: a text is needed, in quotes")
        made[str(name)] = str(value)
    return made


def _taken(given: object) -> dict[str, Take]:
    if not isinstance(given, Mapping):
        raise UsageError(
            "take: a table of names and places is needed, such as { id = 'json:$.id' }"
        )
    made = {}
    for name, where in given.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UsageError(f"take: {name!r}: a name of letters, digits and _ is needed")
        try:
            made[name] = where if isinstance(where, Take) else Take(where)
        except UsageError as error:
            raise UsageError(f"take: {name}: {error}") from None
    return made


def _as_list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _think(given: Any) -> float | tuple[float, float] | None:
    if given is None:
        return None
    ends = _as_list(given)
    for one in ends:
        number = isinstance(one, int | float) and not isinstance(one, bool)
        if not number or not math.isfinite(one) or one < 0:
            raise UsageError(f"think={given!r}: seconds, or [from, to], are needed, such as [1, 3]")
    if isinstance(given, list | tuple):
        if len(ends) != 2 or ends[0] > ends[1]:
            raise UsageError(f"think={given!r}: [from, to] is needed, such as [1, 3]")
        return float(ends[0]), float(ends[1])
    return float(ends[0])


def _hidden(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _hidden_text(name, text) for name, text in texts.items()}


def _hidden_text(name: str, text: str) -> str:
    secret = SECRET_NAME.search(name.lower()) and Template(text).whole is None
    return NOT_SHOWN if secret else text


def _hidden_json(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden_json(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden_json(each, name) for each in value]
    return _hidden_text(name, value) if isinstance(value, str) else value


def content_type(step: Step) -> str:
    """The type of what a step sends, unless its headers say it; empty for none."""
    if value_of(step.headers, "Content-Type"):
        return ""
    if step.form is not None:
        return "application/x-www-form-urlencoded"
    return "application/json" if step.json is not None else ""
