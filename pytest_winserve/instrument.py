"""The WSGI middleware of the lab: whose answer is it, who ran it, how many at once.

Counters live in a memory-mapped file, so they can be read while the server is blocked and after it
was killed. Two headers carry the lab's bookkeeping:

* request `X-Winserve: load-7` or `lab-8`: which load or probe sent it; removed before the app
  sees it. What the lab sends on its own account (`lab-N`) stays out of the totals.
* answer `X-Winserve-Backend: NONCE.INDEX`: proof that this run's backend answered; for the lab's
  own requests also `X-Winserve-Process: PID.THREAD`.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_HEADER = "X-Winserve"
BACKEND_HEADER = "X-Winserve-Backend"
PROCESS_HEADER = "X-Winserve-Process"
TOTALS = "load-0"

_SLOT = struct.Struct("<qqqqq")  # run, started, raised, running, peak of running
_SLOTS = 64


@dataclass(frozen=True, slots=True)
class Counts:
    """What one process counted for one run: requests started, those that the app ended with an
    exception, those whose app code runs now, and the peak of these."""

    started: int = 0
    raised: int = 0
    in_flight: int = 0
    peak: int = 0


def load_tag(run: int) -> str:
    """The tag of a load's requests."""
    return f"load-{run}"


def lab_tag(run: int) -> str:
    """The tag of requests that the lab sends on its own account."""
    return f"lab-{run}"


def _run_of(tag: str) -> tuple[int, bool]:
    """(run, is it the lab's own) of a tag; untagged requests are run 0 and the user's."""
    kind, _, number = tag.partition("-")
    if kind not in ("load", "lab") or not number.isdecimal():
        return 0, False
    return int(number), kind == "lab"


def _slot_of(run: int) -> int:
    """Slot 0 holds the totals; runs take turns on the others."""
    return 1 + run % (_SLOTS - 1)


class Counters:
    """The counters of one process, in a file."""

    def __init__(self, path: Path) -> None:
        size = _SLOT.size * _SLOTS
        with path.open("w+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._lock = threading.Lock()

    def start(self, tag: str) -> tuple[int, ...]:
        """Count a request in; the result is what the other methods want."""
        run, own = _run_of(tag)
        token = (run, *([] if own else [0]), *([_slot_of(run)] if run else []))
        self._change(token, started=1, running=1)
        return token

    def leave(self, token: tuple[int, ...], raised: bool = False) -> None:
        """The app's code is left, for good or until its body is asked for more."""
        self._change(token, raised=raised, running=-1)

    def enter(self, token: tuple[int, ...]) -> None:
        """The app's code runs again, to make more of its body."""
        self._change(token, running=1)

    def _change(
        self, token: tuple[int, ...], *, started: int = 0, raised: int = 0, running: int
    ) -> None:
        run, *slots = token
        with self._lock:
            for slot in slots:
                at = slot * _SLOT.size
                held, all_started, all_raised, now, peak = _SLOT.unpack_from(self._map, at)
                if slot and held != run:
                    if not started:
                        continue  # a later run has taken the slot over
                    held, all_started, all_raised, now, peak = run, 0, 0, 0, 0
                now += running
                _SLOT.pack_into(
                    self._map, at,
                    held, all_started + started, all_raised + raised, now, max(peak, now),
                )  # fmt: skip


def read_counts(path: Path, tag: str) -> Counts:
    """What the process behind a counter file counted for `tag`, or in total for TOTALS."""
    run, _ = _run_of(tag)
    slot = _slot_of(run) if run else 0
    with path.open("rb") as file:
        file.seek(slot * _SLOT.size)
        data = file.read(_SLOT.size)
    if len(data) < _SLOT.size:
        return Counts()
    held, *counts = _SLOT.unpack(data)
    return Counts(*counts) if held == run or not slot else Counts()


class Instrument:
    """Wraps a WSGI app; does nothing to what it answers but add headers."""

    def __init__(self, app: WSGIApplication, nonce: str, index: int, counters: Counters) -> None:
        self._app = app
        self._headers = [(BACKEND_HEADER, f"{nonce}.{index}")]
        self._counters = counters

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        tag = environ.pop("HTTP_X_WINSERVE", "")
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
