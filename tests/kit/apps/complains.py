"""Writes into its log what apps write when something is wrong, as the path says."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Broken(logging.Handler):
    """A handler that cannot write, as one of a file that others have open."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            raise PermissionError(13, "Sharing violation", "app.log")
        except PermissionError:
            self.handleError(record)


log = logging.getLogger("shop")
log.addHandler(logging.StreamHandler())
broken = logging.getLogger("broken")
broken.addHandler(Broken())
broken.propagate = False


def _raise() -> None:
    raise LookupError("no such order")


def _log() -> None:
    log.error("ERROR: the order was not written")


def _flood() -> None:
    os.write(2, b"\x00\xff" * 500_000)


PATHS: dict[str, Callable[[], object]] = {
    "/test": lambda: None,
    "/raise": _raise,
    "/log": _log,
    "/broken": lambda: broken.error("an order"),
    "/flood": _flood,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    PATHS[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
