"""The headers that every request of a run carries: a key, a login, the host that an app expects."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable

from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Request
from pytest_winserve.session.settings import Settings

FROM_ENVIRONMENT = "env:"


def headers_of(settings: Settings) -> dict[str, str]:
    """The headers that the settings name, by their names. Raises UsageError for what cannot be
    sent; no value is in its text."""
    found: dict[str, str] = {}
    for text in settings.header:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"--header {name.strip()}: 'Name: value' is needed")
        _add(found, name.strip(), _value(value.strip(), f"--header {name.strip()}"))
    if settings.host_header is not None:
        _add(found, "Host", settings.host_header.strip())
    if settings.auth is not None:
        user, colon, password = settings.auth.partition(":")
        if not colon:
            raise UsageError("--auth: USER:PASSWORD is needed, or USER:env:NAME")
        pair = f"{user}:{_value(password, '--auth')}"
        _add(found, "Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    cookies = list(_cookies(settings.cookie))
    if cookies:
        _add(found, "Cookie", "; ".join(cookies))
    return found


def _cookies(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or any(each in name.strip() for each in " ;,\t"):
            raise UsageError(f"--cookie {name.strip()}: 'name=value' is needed")
        value = _value(value.strip(), f"--cookie {name.strip()}")
        if ";" in value:
            raise UsageError(
                f"--cookie {name.strip()}: a semicolon ends a cookie; give the option once for each"
            )
        yield f"{name.strip()}={value}"


def _value(given: str, where: str) -> str:
    """The value, or that of the variable that `env:NAME` names."""
    if not given.startswith(FROM_ENVIRONMENT):
        return given
    name = given.removeprefix(FROM_ENVIRONMENT)
    if name not in os.environ:
        raise UsageError(f"{where}: there is no variable {name!r} in the environment")
    return os.environ[name]


def _add(found: dict[str, str], name: str, value: str) -> None:
    if name.lower() in map(str.lower, found):
        raise UsageError(f"the header {name} is given twice")
    try:
        Request("/", headers={name: value})
    except UsageError as error:
        # Without the value, which may be a secret.
        raise UsageError(str(error).replace(repr(value), "its value")) from None
    found["Host" if name.lower() == "host" else name] = value
