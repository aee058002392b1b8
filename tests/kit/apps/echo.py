"""Remembers, in files that its processes share, the last request that reached it; `/last` tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answer import answering

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LAST = Path("last-request.json")


def echo(environ: WSGIEnvironment) -> Any:
    if environ["PATH_INFO"] == "/last":
        return json.loads(LAST.read_text())
    seen = {
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "headers": {key: value for key, value in environ.items() if key.startswith("HTTP_")},
    }
    if "HTTP_X_PLAIN" in environ:
        LAST.write_text(json.dumps(seen))
    return seen


app = answering(echo)
