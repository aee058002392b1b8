"""The headers that every request of a run carries: a key, a login's cookie, the right Host.

Their values may be secrets. No message names one, and `NOT_SHOWN` stands for each in a result.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Mapping

from pytest_winserve.errors import UsageError
from pytest_winserve.load.request_parts import NOT_SHOWN, checked_headers

FROM_ENVIRONMENT = "env:"
_COOKIE_ENDS = ";,"


def checked(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers that can be sent, each name once; UsageError for others."""
    made: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if str(name).lower() in map(str.lower, made):
            raise UsageError(f"the header {name} is given twice: one value is needed")
        made[name] = value
    return checked_headers(made)


def run_headers(
    header: Iterable[str] = (),
    cookie: Iterable[str] = (),
    auth: str | None = None,
    host_header: str | None = None,
) -> dict[str, str]:
    """The headers that these texts describe; see the settings of the same names.

    A value `env:NAME` is that of the environment variable. UsageError for what cannot be sent.
    """
    pairs = [_header(text) for text in header]
    cookies = [_cookie(text) for text in cookie]
    if cookies:
        pairs.append(("Cookie", "; ".join(f"{name}={value}" for name, value in cookies)))
    if auth is not None:
        pairs.append(("Authorization", _basic(auth)))
    if host_header is not None:
        pairs.append(("Host", host_header))
    instead = {
        "cookie": "take cookie only, once for each cookie",
        "authorization": "take auth or header, not both",
        "host": "take host_header only",
    }
    seen = set()
    for name, _ in pairs:
        if name.lower() in seen:
            mend = instead.get(name.lower(), "one value is needed")
            raise UsageError(f"the header {name} is given twice: {mend}")
        seen.add(name.lower())
    return checked(pairs)


def shown(texts: Iterable[str], separator: str) -> list[str]:
    """The names of headers or cookies with their values left out, as results tell them."""
    names = [text.partition(separator)[0] if separator in text else "" for text in texts]
    between = separator.ljust(2) if separator == ":" else separator
    return [f"{name.strip()}{between}{NOT_SHOWN}" for name in names]


def not_shown(headers: Mapping[str, str]) -> dict[str, str]:
    """These headers with none of their values."""
    return dict.fromkeys(headers, NOT_SHOWN)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise UsageError(
            "header: there is no colon in it: 'Name: value' is needed, such as "
            "'X-Api-Key: env:MY_KEY' (what was given is not shown)"
        )
    name, value = name.strip(), value.strip()
    return name, _value(value, f"header {name}", lambda value: f"{name}: {value}")


def _cookie(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name:
        raise UsageError(
            "cookie: 'name=value' is needed, such as 'session=env:MY_SESSION' (what was given "
            "is not shown)"
        )
    value = _value(value, f"cookie {name}", lambda value: f"{name}={value}")
    if any(end in value for end in _COOKIE_ENDS) or any(part.isspace() for part in name + value):
        raise UsageError(
            f"cookie {name}: a cookie has no ';', ',' or space in it; give cookie once for "
            "each cookie"
        )
    return name, value


def _basic(text: str) -> str:
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise UsageError(
            "auth: USER:PASSWORD is needed, such as 'shop:env:MY_PASSWORD' (what was given is "
            "not shown)"
        )
    password = _value(password, "auth", lambda value: f"USER:{value}")
    token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return f"Basic {token}"


def _value(text: str, option: str, example: Callable[[str], str]) -> str:
    if not text.startswith(FROM_ENVIRONMENT):
        return text
    name = text.removeprefix(FROM_ENVIRONMENT)
    if not name:
        raise UsageError(
            f"{option}: env: is followed by the name of an environment variable, such as "
            f"'{example('env:MY_SECRET')}'"
        )
    if name not in os.environ:
        raise UsageError(
            f"{option}: there is no environment variable {name}: set it where this command runs"
        )
    return os.environ[name].strip()
