"""An app that insists on its Host, on a key and a login, and on a cookie. It keeps what it refused,
and tells that at /refused to whom it knows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADERS = {
    "Host": "shop.example",
    "X-Api-Key": "key-of-the-shop",
    "Authorization": "Basic c2hvcDpwYXNz",
    "Cookie": "session=s3cr3t; theme=dark",
}
refused: list[str] = []


def lacks(environ: WSGIEnvironment) -> str | None:
    """The status for what a request lacks; None when it has all."""
    if environ.get("HTTP_HOST") != HEADERS["Host"]:
        return "400 Bad Request"
    if environ.get("HTTP_X_API_KEY") != HEADERS["X-Api-Key"]:
        return "401 Unauthorized"
    if environ.get("HTTP_AUTHORIZATION") != HEADERS["Authorization"]:
        return "401 Unauthorized"
    cookies = {part.strip() for part in environ.get("HTTP_COOKIE", "").split(";")}
    return None if set(HEADERS["Cookie"].split("; ")) <= cookies else "403 Forbidden"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status, body = lacks(environ), b"Hello"
    if status is not None:
        refused.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}: {status}")
    elif environ["PATH_INFO"] == "/sleep":
        time.sleep(0.5)
    elif environ["PATH_INFO"] == "/refused":
        body = "\n".join(refused).encode()
    start_response(status or "200 OK", [("Content-Length", str(len(body)))])
    return [body]
