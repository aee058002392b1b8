"""The HTTP client of a site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import requests


class Client(requests.Session):
    """A requests session that resolves paths against the site, and ignores proxy settings."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self.trust_env = False

    def cookie_of(self, path: str) -> dict[str, str]:
        """The header with the cookies that it would send for a path; none when there are none."""
        request = requests.Request("GET", urljoin(self._base, path))
        cookie = self.prepare_request(request).headers.get("Cookie")
        return {} if cookie is None else {"Cookie": str(cookie)}

    def request(self, method: str, url: str, *args: Any, **kw: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, urljoin(self._base, url), *args, **kw)
