"""An app that keeps its users in a dictionary of its process, as many do."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

VISITS: dict[str, int] = {}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """How often this user was here before, as far as this process knows."""
    jar = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    user = jar["user"].value if "user" in jar else ""
    headers = [("Content-Type", "text/plain")]
    if user not in VISITS:
        user = secrets.token_hex(8)
        VISITS[user] = 0
        headers.append(("Set-Cookie", f"user={user}; Path=/"))
    answer = str(VISITS[user]).encode()
    VISITS[user] += 1
    start_response("200 OK", [*headers, ("Content-Length", str(len(answer)))])
    return [answer]
