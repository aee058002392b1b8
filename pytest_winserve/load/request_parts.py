"""What can stand in an HTTP request: paths, header fields, and which of them hold secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_winserve.errors import UsageError
from pytest_winserve.tags import REQUEST_HEADER

NOT_SHOWN = "(not shown)"
SECRET_NAME = re.compile(r"auth|cookie|credential|csrf|key|pass|secret|session|signature|token")
PATH = re.compile(r"/[\x21-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# The engine writes these itself; a second copy would make the request ambiguous.
_ENGINE_HEADERS = {
    "connection": "use keepalive= of the plan",
    "content-length": "it follows from body=",
    "transfer-encoding": "bodies are sent with their length",
    REQUEST_HEADER.lower(): "the lab marks its requests with it",
}


def check_path(path: object) -> None:
    """UsageError for a path that cannot be written into a request."""
    if not isinstance(path, str) or not PATH.fullmatch(path):
        raise UsageError(
            f"path={path!r}: a path starts with '/' and has no spaces, control or "
            "non-ASCII characters (percent-encode them)"
        )
    if "#" in path:
        raise UsageError(f"path={path!r}: a fragment (#...) is never sent; leave it out")


def check_method(method: object) -> None:
    """UsageError for what is no method of a request to a site."""
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise UsageError(f"method={method!r}: a word such as 'GET' is needed")
    if method.upper() == "CONNECT":
        raise UsageError("method='CONNECT': tunnels are not requests to a site; use another")


def checked_headers(headers: object) -> dict[str, str]:
    """The headers, each name once; UsageError for what cannot be sent."""
    if not isinstance(headers, Mapping):
        raise UsageError(f"headers={headers!r}: a mapping of names to values is needed")
    for name, value in headers.items():
        _check_header(name, value)
    names = [name.lower() for name in headers]
    for name in headers:
        if names.count(name.lower()) > 1:
            raise UsageError(f"the header {name} is given twice: one value is needed")
    return dict(headers)


def _check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise UsageError(f"header name {name!r}: a word such as 'Accept' is needed")
    if name.lower() in _ENGINE_HEADERS:
        raise UsageError(f"header {name!r} cannot be given: {_ENGINE_HEADERS[name.lower()]}")
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise UsageError(
            f"header {name}: text without line breaks, NUL or other control characters is "
            "needed (Latin-1); its value may be a secret and is not shown"
        )
