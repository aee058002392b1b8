"""A recording of a browser: a HAR file (HTTP Archive 1.2), as Chromium, Firefox, Playwright and
proxies write it. What one of them leaves out is left out here: an answer's body may be unknown."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pytest_winserve.errors import UsageError
from pytest_winserve.system.header_fields import value_of

MOST_OF_A_BODY = 64 * 2**20
AGAIN = (
    "open the developer tools before the first page, record anew, and export the network log as HAR"
)
PACKED = {
    b"\x1f\x8b": ("gzip", "gunzip -c {name} > unpacked.har"),
    b"PK\x03\x04": ("zip", "unzip {name}"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -d -c {name} > unpacked.har"),
    b"BZh": ("bzip2", "bunzip2 -c {name} > unpacked.har"),
    b"\xfd7zXZ\x00": ("xz", "xz -d -c {name} > unpacked.har"),
}
"""How a compressed file begins: with what it was compressed, and what unpacks it."""

_SENT_HEAD = re.compile(r"\A(?:Content-(?:Type|Length): [^\r\n]*\r?\n)+\r?\n", re.IGNORECASE)
"""What Firefox writes before the text of some forms."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form: the field, the name of the file."""

    field: str
    name: str


@dataclass(frozen=True, slots=True)
class Body:
    """What a request sent: its type, its text, and where it was a form the fields and files of
    it."""

    type: str
    text: str
    form: tuple[tuple[str, str], ...] | None = None
    files: tuple[Upload, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body is None where the recording does not have it."""

    status: int
    headers: Mapping[str, str]
    type: str
    body: str | None
    cookies: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request of the recording and its answer. Times are in seconds."""

    started: float
    ended: float
    method: str
    scheme: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: Body | None
    answer: Answer
    kind: str
    """What the browser says that it was for, such as `document`; empty where it does not say."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"


def read_har(file: Path) -> list[Exchange]:
    """The exchanges of a recording, in the order in which they were begun. UsageError says what is
    wrong with the file, and what would mend it."""
    entries = _entries(file)
    found = [
        each
        for number, entry in enumerate(entries, 1)
        if (each := _exchange(entry, f"{file.name}, entry {number}", file.parent)) is not None
    ]
    return sorted(found, key=lambda each: each.started)


def _entries(file: Path) -> Sequence[Any]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None
    for start, (how, unpack) in PACKED.items():
        if data.startswith(start):
            raise UsageError(
                f"{file} is compressed ({how}): unpack it first, `{unpack.format(name=file.name)}`"
            )
    found = _json(file, data)
    log = found.get("log") if isinstance(found, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        if isinstance(found, dict) and {"constants", "events"} <= found.keys():
            raise UsageError(
                f"{file} is a net-export log of Chromium, which has no bodies: {AGAIN}"
            )
        raise UsageError(f"{file} is no HAR file: there is no log.entries in it; {AGAIN}")
    if not entries:
        raise UsageError(f"{file} has no request in it: {AGAIN}")
    return entries


def _json(file: Path, data: bytes) -> Any:
    if not data.strip():
        raise UsageError(f"{file} is empty: {AGAIN}")
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no HAR file: it is no text; {AGAIN}") from None
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        whole = text.rstrip()
        begun = whole.lstrip("\ufeff \t\r\n").startswith("{")
        if begun and (error.pos >= len(whole) - 1 or error.msg.startswith("Unterminated")):
            raise UsageError(
                f"{file} is cut off: it ends in line {error.lineno} before what it has begun; "
                "save it again, and wait until it is written"
            ) from None
        raise UsageError(
            f"{file} is no HAR file: it is not JSON (line {error.lineno}: {error.msg}); {AGAIN}"
        ) from None
    except RecursionError:
        raise UsageError(f"{file} is no HAR file: it is nested too deep") from None


def _exchange(entry: Any, where: str, folder: Path) -> Exchange | None:
    """An entry; None for what is no exchange by HTTP, such as a picture within a page."""
    request, response = _member(entry, "request", where), _member(entry, "response", where)
    url = request.get("url")
    if not isinstance(url, str):
        raise UsageError(f"{where}: request.url is missing; export the recording again")
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        raise UsageError(f"{where}: request.url is no URL; export the recording again") from None
    if parts.scheme not in ("http", "https"):
        return None
    started = _time(entry.get("startedDateTime"), where)
    status = response.get("status")
    headers = _pairs(request.get("headers"))
    return Exchange(
        started=started,
        ended=started + max(0.0, _number(entry.get("time")) / 1000),
        method=str(request.get("method", "GET")).upper(),
        scheme=parts.scheme,
        host=host.removesuffix(":80" if parts.scheme == "http" else ":443"),
        path=urlunsplit(("", "", parts.path or "/", parts.query, "")),
        headers={name: text for name, text in headers if not name.startswith(":")},
        body=_request_body(request.get("postData"), dict(headers), folder),
        answer=_answer(response, status if isinstance(status, int) else 0, folder),
        kind=str(entry.get("_resourceType") or "").lower(),
    )


def _member(entry: Any, name: str, where: str) -> dict[str, Any]:
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, dict):
        raise UsageError(f"{where}: {name} is missing; export the recording again")
    return found


def _time(text: Any, where: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        raise UsageError(
            f"{where}: startedDateTime is no time; export the recording again"
        ) from None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _pairs(headers: Any) -> list[tuple[str, str]]:
    found = headers if isinstance(headers, list) else []
    return [
        (str(each.get("name", "")), str(each.get("value", "")))
        for each in found
        if isinstance(each, dict)
    ]


def _answer(response: Mapping[str, Any], status: int, folder: Path) -> Answer:
    pairs = _pairs(response.get("headers"))
    headers = dict(reversed(pairs))  # the first of a name
    if response.get("redirectURL") and not value_of(headers, "Location"):
        headers["Location"] = str(response["redirectURL"])
    content = response.get("content")
    content = content if isinstance(content, dict) else {}
    kind = str(content.get("mimeType") or value_of(headers, "Content-Type"))
    return Answer(
        status=status,
        headers=headers,
        type=kind.partition(";")[0].strip().lower(),
        body=_answer_body(content, kind, value_of(headers, "Content-Encoding").lower(), folder),
        cookies=tuple(
            (name.strip(), value.partition(";")[0].strip())
            for header, text in pairs
            if header.lower() == "set-cookie"
            # Firefox and Chromium write several into one field, a line each.
            for name, _, value in [line.partition("=") for line in text.splitlines()]
        ),
    )


def _answer_body(content: Mapping[str, Any], kind: str, encoding: str, folder: Path) -> str | None:
    text = content.get("text")
    if isinstance(content.get("_file"), str):  # Playwright's bodies beside the recording
        data = _attached(folder, content["_file"])
        return None if data is None else _as_text(data, kind)
    if not isinstance(text, str):
        return "" if content.get("size") == 0 else None
    if content.get("encoding") != "base64":
        return text
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _as_text(_unpacked(data, encoding), kind)


def _attached(folder: Path, name: str) -> bytes | None:
    try:
        return (folder / Path(name).name).read_bytes()
    except OSError:
        return None


def _unpacked(data: bytes, encoding: str) -> bytes:
    """A body that a proxy has kept as it was sent."""
    window = {"gzip": 31, "deflate": 15}.get(encoding)
    if window is None:
        return data
    try:
        return zlib.decompressobj(window).decompress(data, MOST_OF_A_BODY)
    except zlib.error:
        return data


def _as_text(data: bytes, kind: str) -> str | None:
    charset = kind.lower().partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return data.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None


def _request_body(post: Any, headers: Mapping[str, str], folder: Path) -> Body | None:
    post = post if isinstance(post, dict) else {}
    whole = str(post.get("mimeType") or value_of(headers, "Content-Type"))
    kind = whole.partition(";")[0].strip().lower()
    text = post.get("text")
    if isinstance(post.get("_file"), str):
        data = _attached(folder, post["_file"])
        text = None if data is None else data.decode("utf-8", "replace")
    text = _SENT_HEAD.sub("", text) if isinstance(text, str) else ""
    if kind == "application/x-www-form-urlencoded":
        return Body(kind, text, _fields(text) if text else tuple(_pairs(post.get("params"))))
    if kind == "multipart/form-data":
        parts = list(_parts(text, whole)) or list(_parameters_of_parts(post))
        return Body(
            kind,
            text,
            tuple((name, value) for name, file, value in parts if file is None),
            # Some browsers write a whole path.
            tuple(Upload(name, re.split(r"[/\\]", file)[-1]) for name, file, _ in parts if file),
        )
    return Body(whole, text) if text or kind else None


def _fields(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(parse_qsl(text, keep_blank_values=True))


def _parameters_of_parts(post: Mapping[str, Any]) -> Iterator[tuple[str, str | None, str]]:
    for each in post.get("params") or ():
        if isinstance(each, dict):
            file = each.get("fileName")
            yield (
                str(each.get("name", "")),
                file if isinstance(file, str) else None,
                str(each.get("value", "")),
            )


def _parts(text: str, kind: str) -> Iterator[tuple[str, str | None, str]]:
    """The parts of a multipart body: the field, the name of a file, the value of what is none."""
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if boundary is None:
        return
    for part in text.split(f"--{boundary[1]}"):
        head, blank, value = _halves(part)
        name = re.search(r'[; ]name="([^"]*)"', head)
        if name is None or not blank:
            continue
        file = re.search(r'filename="([^"]*)"', head)
        yield name[1], None if file is None else file[1], re.sub(r"\r?\n\Z", "", value)


def _halves(part: str) -> tuple[str, str, str]:
    """The header fields of a part, what stands between, its value."""
    blank = re.search(r"\r?\n\r?\n", part)
    return (
        (part, "", "") if blank is None else (part[: blank.start()], blank[0], part[blank.end() :])
    )
