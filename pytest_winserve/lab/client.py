"""The HTTP client of a site."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from pytest_winserve.load.journeys.cookies import Kept
from pytest_winserve.system.trust import Trust


class Client(requests.Session):
    """A requests session that resolves paths against the site, and ignores proxy settings.

    A redirect to another scheme, host or port is not followed, but is the answer itself: what is
    there is not what was asked, and may be anybody's. It begins with `headers`; their cookies are
    in its jar, so that others come beside them. `trust` is for what is served over TLS.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        trust: Trust | None = None,
    ) -> None:
        super().__init__()
        if trust is not None:
            self.mount("https://", _Trusting(trust))
        self._base = base
        self.trust_env = False
        for name, text in headers.items():
            if name.lower() == "cookie":
                for cookie in text.split(";"):
                    cookie_name, _, value = cookie.strip().partition("=")
                    self.cookies.set(cookie_name, value)
            else:
                self.headers[name] = text

    def keep(self, cookie: Kept) -> None:
        """Have a cookie that somebody else was given, for where it goes."""
        self.cookies.set(
            cookie.name,
            cookie.value,
            path=cookie.path,
            secure=cookie.secure,
            expires=None if cookie.ends is None else int(cookie.ends),
        )

    def cookie_of(self, path: str) -> dict[str, str]:
        """The header with the cookies that it would send for a path; none when there are none."""
        request = requests.Request("GET", urljoin(self._base, path))
        cookie = self.prepare_request(request).headers.get("Cookie")
        return {} if cookie is None else {"Cookie": str(cookie)}

    def request(self, method: str, url: str, *args: Any, **kw: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, urljoin(self._base, url), *args, **kw)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where the session goes on after an answer, if anywhere."""
        target = super().get_redirect_target(resp)
        return target if target is not None and _stays(resp.url, target) else None


class _Trusting(HTTPAdapter):
    """Takes the certificates of those that the lab trusts."""

    def __init__(self, trust: Trust) -> None:
        self._context = trust.context()
        super().__init__()

    def init_poolmanager(self, *args: Any, **kw: Any) -> None:
        super().init_poolmanager(*args, **kw, ssl_context=self._context)


def _stays(url: str, target: str) -> bool:
    """Whether a redirect from a URL leads to its own scheme, host and port."""
    try:
        return _place(urljoin(url, target)) == _place(url)
    except ValueError:  # it is no URL at all
        return False


def _place(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
