"""The WSGI middleware of the lab: whose answer is it, who ran it, how many at once.

Counts are in `pytest_winserve.backend.counters`, headers in `pytest_winserve.tags`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend.counters import Counters
from pytest_winserve.tags import BACKEND_HEADER, PROCESS_HEADER, REQUEST_HEADER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


REQUEST_KEY = "HTTP_" + REQUEST_HEADER.upper().replace("-", "_")


class Instrument:
    """Wraps a WSGI app; does nothing to what it answers but add headers."""

    def __init__(self, app: WSGIApplication, nonce: str, index: int, counters: Counters) -> None:
        self._app = app
        self._headers = [(BACKEND_HEADER, f"{nonce}.{index}")]
        self._counters = counters

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        tag = environ.pop(REQUEST_KEY, "")
        extra = self._headers
        if tag.startswith("lab-"):
            extra = [*extra, (PROCESS_HEADER, f"{os.getpid()}.{threading.get_ident()}")]

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, *extra], *exc_info)

        token = self._counters.start(tag)
        raised = True
        try:
            body = self._app(environ, start)
            raised = False
        finally:
            self._counters.leave(token, raised)
        # A server may look at the type or the length of a list; anything else is only iterated.
        return body if type(body) in (list, tuple) else _Body(body, self._counters, token)


class _Body:
    """The app's body; what runs while the server asks for the next part counts as running.

    Between two parts the request is the server's business: Tornado, for one, runs another request
    before it asks for the rest of this one.
    """

    def __init__(self, body: Iterable[bytes], counters: Counters, token: tuple[int, ...]) -> None:
        self._body = body
        self._counters = counters
        self._token = token

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._body)
        while True:
            self._counters.enter(self._token)
            raised = True
            try:
                part = next(parts, None)
                raised = False
            finally:
                self._counters.leave(self._token, raised)
            if part is None:
                return
            yield part

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
