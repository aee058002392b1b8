"""Pages that are not always what was asked for: behind a login, or "try again later" with 200."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PAGE = b"x" * 20_000
LATER = b"try again later"
asked = itertools.count()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path, status, headers, body = environ["PATH_INFO"], "200 OK", [], PAGE
    if path == "/report" and "user=" not in environ.get("HTTP_COOKIE", ""):
        status, body = "302 Found", b""
        headers = [("Location", "/login?next=/report&state=secret")]
    elif path == "/tired" and next(asked):
        body = LATER
    elif path == "/gone" and next(asked):
        status, body = "203 Non-Authoritative Information", b""
    elif path == "/piecemeal":
        start_response(status, [])
        return [PAGE, LATER]
    elif path.startswith("/away"):
        status, body = "307 Temporary Redirect", b""
        headers = [("Location", f"http://other.example/{next(asked)}")]
    start_response(status, [*headers, ("Content-Length", str(len(body)))])
    return [body]
