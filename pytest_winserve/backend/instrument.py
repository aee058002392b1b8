"""The WSGI middleware of the lab: whose answer is it, who ran it, how many at once.

Counts are in `pytest_winserve.backend.counters`, headers in `pytest_winserve.tags`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import ref

from pytest_winserve.backend.counters import Counters, Token
from pytest_winserve.tags import (
    BACKEND_HEADER,
    HOLD_HEADER,
    PROCESS_HEADER,
    REQUEST_HEADER,
    STATE_TAG,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

REQUEST_KEY = "HTTP_" + REQUEST_HEADER.upper().replace("-", "_")
HOLD_KEY = "HTTP_" + HOLD_HEADER.upper().replace("-", "_")
FILE_WRAPPER = "wsgi.file_wrapper"
OWN_REFERENCES = 2
"""Of an object that only the function has that asks `sys.getrefcount` for it."""


class Instrument:
    """Wraps a WSGI app; does nothing to what it answers but add headers.

    The server gets the very body that the app has returned: it may send one of its own file
    wrapper's by the system, and nothing of the lab runs while it takes the parts of another. Such a
    request ends when the server lets go of the body. Only for the lab's own requests, a probe's,
    is it known when the app's code runs within a body that is made while it is sent.
    """

    def __init__(
        self,
        app: WSGIApplication,
        nonce: str,
        index: int,
        counters: Counters,
        tell_state: Callable[[], None] = lambda: None,
    ) -> None:
        self._app = app
        self._tell_state = tell_state
        self._headers = [(BACKEND_HEADER, f"{nonce}.{index}")]
        self._counters = counters
        self._bodies: dict[int, tuple[ref[Any], Token]] = {}  # that servers still have

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        tag = environ.pop(REQUEST_KEY, "")
        if tag.startswith("lab-"):
            return self._exactly(tag, environ, start_response)
        token = self._counters.start(tag)
        try:
            body = self._app(environ, marking(start_response, self._headers))
        except BaseException:
            self._counters.leave(token, raised=True)
            raise
        if type(body) in (list, tuple) or not self._ends_with(body, environ, token):
            self._counters.leave(token)
        return body

    def _ends_with(self, body: Any, environ: WSGIEnvironment, token: Token) -> bool:
        """Whether the request's end will be counted when the server lets go of `body`."""
        if is_made_by(environ.get(FILE_WRAPPER), body):
            return False  # no code of the app's is in it, and it may be sent long after
        # One that the app keeps, too, may live for ever. This function, its caller, and the call.
        if sys.getrefcount(body) > OWN_REFERENCES + 1:
            return False
        try:
            kept = ref(body, self._is_gone)
        except TypeError:
            return False
        self._bodies[id(kept)] = kept, token
        return True

    def _is_gone(self, kept: ref[Any]) -> None:
        _, token = self._bodies.pop(id(kept))
        self._counters.let_go(token)

    def _exactly(
        self, tag: str, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request of the lab's own: say who runs it, hold it if that is asked, and count
        while the app's code runs, also within its body."""
        process = (PROCESS_HEADER, f"{os.getpid()}.{threading.get_ident()}")
        wrapper, made = environ.get(FILE_WRAPPER), []
        if wrapper is not None and not isinstance(wrapper, type):
            # A function that does not tell by what type it returns.
            def make(*given: Any, **named: Any) -> Any:
                made.append(wrapper(*given, **named))
                return made[-1]

            environ[FILE_WRAPPER] = make
        token = self._counters.start(tag)
        hold = float(environ.pop(HOLD_KEY, 0))
        raised = True
        try:
            if hold:
                # Looked up now: what the app has made of `time.sleep` is what its own code calls.
                time.sleep(hold)
            body = self._app(environ, marking(start_response, [*self._headers, process]))
            raised = False
        finally:
            self._counters.leave(token, raised)
            if tag == STATE_TAG:
                self._tell_state()
        # A server may look at the type or the length of these.
        if hasattr(body, "__len__") or is_made_by(wrapper, body) or any(body is m for m in made):
            return body
        return _Body(body, self._counters, token)


def marking(start_response: StartResponse, extra: Headers) -> Callable[..., Any]:
    """`start_response` that adds headers, and takes its arguments as that of the server does."""

    def start(*given: Any, **named: Any) -> Any:
        if len(given) > 1:
            return start_response(given[0], marked(given[1], extra), *given[2:], **named)
        for name in ("headers", "response_headers"):  # as servers call it
            if name in named:
                named[name] = marked(named[name], extra)
        return start_response(*given, **named)

    return start


def marked(headers: Any, extra: Headers) -> Any:
    """The app's headers and these; a server may not take a tuple for a list."""
    return (*headers, *extra) if isinstance(headers, tuple) else [*headers, *extra]


def is_made_by(wrapper: Any, body: Any) -> bool:
    """Whether the server's file wrapper is a type, and the body one of it."""
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Body:
    """The app's body; what runs while the server asks for the next part counts as running.

    Between two parts the request is the server's business: Tornado, for one, runs another request
    before it asks for the rest of this one.
    """

    def __init__(self, body: Iterable[bytes], counters: Counters, token: Token) -> None:
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
