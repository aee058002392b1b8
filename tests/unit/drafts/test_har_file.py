"""Recordings that cannot be read, and what is read of those of several browsers."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.drafts.har_file import Upload, read_har
from pytest_winserve.errors import UsageError


def entry(**changes: Any) -> dict[str, Any]:
    """An exchange with as little as the format asks for."""
    made: dict[str, Any] = {
        "startedDateTime": "2026-11-28T23:00:00.000Z",
        "time": 1000,
        "request": {"method": "GET", "url": "http://shop.example/", "headers": []},
        "response": {"status": 200, "headers": [], "content": {"mimeType": "text/html"}},
    }
    return made | changes


def recording(folder: Path, *entries: object, text: str | None = None) -> Path:
    file = folder / "shop.har"
    file.write_text(json.dumps({"log": {"entries": entries}}) if text is None else text, "utf-8")
    return file


WHOLE = json.dumps({"log": {"version": "1.2", "entries": [entry()]}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: open the developer tools before the first page"),
        (" \n", "is empty"),
        (WHOLE[:-1], "is cut off: it ends in line 1 before what it has begun; save it again"),
        (WHOLE[:60], "is cut off"),
        (WHOLE[: WHOLE.index("shop.ex")], "is cut off"),
        (WHOLE[: WHOLE.index("200") + 2], "is cut off"),
        ("<html></html>", r"is no HAR file: it is not JSON \(line 1: "),
        ('{"log": nonsense}', "it is not JSON"),
        ("[]", "there is no log.entries in it; open the developer tools"),
        ('{"log": {}}', "there is no log.entries in it"),
        ('{"log": {"entries": []}}', "has no request in it: open the developer tools"),
        ('{"constants": {}, "events": []}', "is a net-export log of Chromium, which has no bodies"),
        ('{"log": {"entries": [3]}}', "shop.har, entry 1: request is missing"),
        ('{"log": {"entries": [{"request": {}, "response": {}}]}}', "request.url is missing"),
        (WHOLE.replace("2026-11-28", "yesterday "), "entry 1: startedDateTime is no time"),
        (WHOLE.replace("shop.example", "[shop"), "entry 1: request.url is no URL"),
        ("[" * 100_000, "is no HAR file"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_har(recording(tmp_path, text=text))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.har cannot be read: No such file"):
        read_har(tmp_path / "none.har")
    (tmp_path / "x.har").write_bytes(b"\x80\x81\x82\x83 {}")
    with pytest.raises(UsageError, match="is no HAR file: it is no text"):
        read_har(tmp_path / "x.har")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            gzip.compress(b"{}", mtime=0),
            r"is compressed \(gzip\): unpack it first, `gunzip -c shop.har > u",
        ),
        (b"PK\x03\x04....", r"is compressed \(zip\): unpack it first, `unzip shop.har`"),
        (b"\x28\xb5\x2f\xfd....", r"is compressed \(zstd\)"),
    ],
)
def test_a_recording_that_was_compressed_names_what_unpacks_it(
    tmp_path: Path, data: bytes, said: str
) -> None:
    (tmp_path / "shop.har").write_bytes(data)
    with pytest.raises(UsageError, match=said):
        read_har(tmp_path / "shop.har")


def test_a_byte_order_mark_and_utf_16(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "shop.har").write_bytes(WHOLE.encode(encoding))
        assert [each.path for each in read_har(tmp_path / "shop.har")] == ["/"]


def test_order_hosts_and_what_is_no_http(tmp_path: Path) -> None:
    def to(url: str, second: int) -> dict[str, Any]:
        return entry(
            startedDateTime=f"2026-11-28T23:00:0{second}.500+00:00",
            request={"method": "get", "url": url, "headers": []},
        )

    found = read_har(
        recording(
            tmp_path,
            to("https://me:secret@Shop.example:443/b?q=1#top", 2),
            to("data:image/png;base64,AAAA", 1),
            to("http://shop.example:8080", 0),
        )
    )
    assert [(e.scheme, e.host, e.path, e.method) for e in found] == [
        ("http", "shop.example:8080", "/", "GET"),
        ("https", "shop.example", "/b?q=1", "GET"),
    ]
    assert found[1].started - found[0].started == pytest.approx(2)
    assert found[0].ended - found[0].started == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "headers", "body"),
    [
        ({"text": "<p>ä"}, {}, "<p>ä"),
        ({"text": base64.b64encode("ä".encode()).decode(), "encoding": "base64"}, {}, "ä"),
        (
            {
                "text": base64.b64encode("ä".encode("latin-1")).decode(),
                "encoding": "base64",
                "mimeType": "text/html; charset=ISO-8859-1",
            },
            {},
            "ä",
        ),
        # As a proxy keeps it: as it was sent.
        (
            {"text": base64.b64encode(gzip.compress(b"page")).decode(), "encoding": "base64"},
            {"content-encoding": "gzip"},
            "page",
        ),
        # By what this cannot unpack, and what is no text at all.
        (
            {"text": base64.b64encode(b"\x8b\x02\x80page\x03").decode(), "encoding": "base64"},
            {"content-encoding": "br"},
            None,
        ),
        ({"text": "!", "encoding": "base64"}, {}, None),
        ({"size": 1200}, {}, None),
        ({"size": -1}, {}, None),
        ({"size": 0}, {}, ""),
        ({"_file": "../../page.html"}, {}, "beside"),
        ({"_file": "gone.html"}, {}, None),
    ],
)
def test_bodies_of_answers(
    tmp_path: Path, content: dict[str, Any], headers: dict[str, str], body: str | None
) -> None:
    (tmp_path / "page.html").write_text("beside")
    response = {
        "status": 200,
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "content": {"mimeType": "text/html"} | content,
    }
    (found,) = read_har(recording(tmp_path, entry(response=response)))
    assert found.answer.body == body
    assert found.answer.type == "text/html"


MULTIPART = (
    '--XX\r\nContent-Disposition: form-data; name="title"\r\n\r\nMy\r\ncat\r\n'
    '--XX\r\nContent-Disposition: form-data; name="photo"; filename="cat.png"\r\n'
    "Content-Type: image/png\r\n\r\n\x89PNG\r\n--XX--\r\n"
)


@pytest.mark.parametrize(
    ("post", "form", "files"),
    [
        (
            {"mimeType": "application/x-www-form-urlencoded", "text": "a=1+2&b=%C3%A4&c="},
            (("a", "1 2"), ("b", "ä"), ("c", "")),
            (),
        ),
        (  # Firefox
            {
                "mimeType": "application/x-www-form-urlencoded",
                "text": "Content-Type: application/x-www-form-urlencoded\r\n"
                "Content-Length: 5\r\n\r\na=1+2",
                "params": [],
            },
            (("a", "1 2"),),
            (),
        ),
        (
            {
                "mimeType": "application/x-www-form-urlencoded; charset=UTF-8",
                "params": [{"name": "a", "value": "1 2"}],
            },
            (("a", "1 2"),),
            (),
        ),
        (
            {"mimeType": 'multipart/form-data; boundary="XX"', "text": MULTIPART},
            (("title", "My\r\ncat"),),
            (Upload("photo", "cat.png"),),
        ),
        (
            {
                "mimeType": "multipart/form-data; boundary=XX",
                "params": [
                    {"name": "title", "value": "cat"},
                    {"name": "photo", "fileName": "cat.png", "contentType": "image/png"},
                ],
            },
            (("title", "cat"),),
            (Upload("photo", "cat.png"),),
        ),
    ],
)
def test_forms_that_were_sent(
    tmp_path: Path, post: dict[str, Any], form: object, files: object
) -> None:
    request = {"method": "POST", "url": "http://a/", "headers": [], "postData": post}
    (found,) = read_har(recording(tmp_path, entry(request=request)))
    assert found.body is not None
    assert (found.body.form, found.body.files) == (form, files)
