"""A user's cookies, by the rules of Python's http.cookiejar, for one site.

http.cookiejar itself takes a tenth of a millisecond for an answer, more than all else of a step. So
it is asked once for each kind of Set-Cookie header, whatever the value; what it says is kept.
"""

from __future__ import annotations

import time
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import unquote

MOST_KINDS = 512
_TIMES = ("expires", "max-age")
_SECURE = ("https",)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What http.cookiejar makes of a Set-Cookie header, but for the value. `lasts` is in seconds
    from when it was set, `expires` in UNIX seconds; both None for the time of the visit.
    `deletes`: it is over already, and takes away what was set before."""

    key: tuple[str, str, str]
    path: str
    secure: bool
    lasts: float | None
    expires: float | None
    deletes: bool


class CookieRules:
    """What is known of the site's Set-Cookie headers. `site` is `http://HOST:PORT` as clients call
    it."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.secure = site.partition(":")[0] in _SECURE
        self._known: dict[tuple[str, str, str], Ruling | None] = {}

    def ruling(self, name: str, attributes: str, path: str) -> Ruling | None:
        """Of a cookie that an answer to a request for the path sets; None for one that is refused.
        `attributes` is what stands after its value."""
        folder = path.partition("?")[0].rpartition("/")[0]
        key = name, attributes, folder
        if key not in self._known:
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            self._known[key] = self._asked(name, attributes, f"{folder}/")
        return self._known[key]

    def _asked(self, name: str, attributes: str, path: str) -> Ruling | None:
        now = time.time()
        cookie = self._accepted(f"{name}=x;{attributes}", path)
        if cookie is not None:
            relative = "max-age" in attributes.lower() and cookie.expires is not None
            return Ruling(
                (cookie.domain, cookie.path, cookie.name),
                cookie.path,
                cookie.secure,
                cookie.expires - now if relative and cookie.expires is not None else None,
                None if relative else cookie.expires,
                deletes=False,
            )
        # Refused, or set to be over already: then http.cookiejar forgets the one before.
        kept = [
            part
            for part in attributes.split(";")
            if part.partition("=")[0].strip().lower() not in _TIMES
        ]
        cookie = self._accepted(f"{name}=x;{';'.join(kept)}", path)
        if cookie is None or len(kept) == len(attributes.split(";")):
            return None
        key = cookie.domain, cookie.path, cookie.name
        return Ruling(key, cookie.path, cookie.secure, None, None, deletes=True)

    def _accepted(self, header: str, path: str) -> Cookie | None:
        policy = DefaultCookiePolicy()
        jar = CookieJar(policy)
        request = urllib.request.Request(self._site + path)
        # All that it asks of a response is `info()`.
        for cookie in jar.make_cookies(cast(Any, _Answer(header)), request):
            if policy.set_ok(cookie, request):
                return cookie
        return None


class _Answer:
    def __init__(self, header: str) -> None:
        self._headers = Message()
        self._headers["Set-Cookie"] = header

    def info(self) -> Message:
        return self._headers


@dataclass(frozen=True, slots=True)
class Kept:
    """A cookie of a user: it goes to what is below `path`, and ends at `ends` (UNIX seconds)."""

    name: str
    value: str
    path: str
    secure: bool
    ends: float | None


class Jar:
    """The cookies of one user."""

    __slots__ = ("_cookies", "_plain", "_rules")

    def __init__(self, rules: CookieRules) -> None:
        self._rules = rules
        self._cookies: dict[tuple[str, str, str], tuple[str, float | None, Ruling]] = {}
        self._plain: str | None = ""
        """What is sent wherever it goes; None where that depends on the path or on time."""

    def set(self, header: str, path: str) -> None:
        """Take what a Set-Cookie header in an answer to a request for the path says."""
        pair, _, attributes = header.partition(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        ruling = self._rules.ruling(name, attributes, path) if equals and name else None
        if ruling is None:
            return
        if ruling.deletes:
            self._cookies.pop(ruling.key, None)
        else:
            ends = ruling.expires if ruling.lasts is None else time.time() + ruling.lasts
            self._cookies[ruling.key] = value.strip(), ends, ruling
        self._plain = self._everywhere()

    def put(self, name: str, value: str) -> None:
        """Begin with a cookie that is sent wherever the user goes."""
        ruling = self._rules.ruling(name, "Path=/", "/")
        if ruling is not None:
            self._cookies[ruling.key] = value, None, ruling
            self._plain = self._everywhere()

    def header(self, path: str) -> str:
        """What is sent with a request for the path: `a=1; b=2`; empty for none."""
        if self._plain is not None:
            return self._plain
        path, now = path.partition("?")[0], time.time()
        sent = [
            (ruling.path, f"{key[2]}={value}")
            for key, (value, ends, ruling) in self._cookies.items()
            if (ends is None or ends > now)
            and (self._rules.secure or not ruling.secure)
            and _within(path, ruling.path)
        ]
        sent.sort(key=lambda one: -len(one[0]))  # the longest path first, as http.cookiejar does
        return "; ".join(text for _, text in sent)

    def value(self, name: str) -> str | None:
        """The value of the cookie of that name, whatever its path, as a script of a page decodes it
        (`%3D` is `=`); of several the one with the longest path. None for none."""
        now = time.time()
        found = [
            (ruling.path, value)
            for key, (value, ends, ruling) in self._cookies.items()
            if key[2] == name and (ends is None or ends > now)
        ]
        return unquote(max(found, key=lambda one: len(one[0]))[1]) if found else None

    def kept(self) -> list[Kept]:
        """All of them."""
        return [
            Kept(key[2], value, ruling.path, ruling.secure, ends)
            for key, (value, ends, ruling) in self._cookies.items()
        ]

    def values(self) -> list[str]:
        """The values of all of them."""
        return [value for value, _, _ in self._cookies.values()]

    def _everywhere(self) -> str | None:
        texts = []
        for key, (value, ends, ruling) in self._cookies.items():
            if ends is not None or ruling.secure or ruling.path != "/":
                return None
            texts.append(f"{key[2]}={value}")
        return "; ".join(texts)


def _within(path: str, cookie_path: str) -> bool:
    if path == cookie_path:
        return True
    if not path.startswith(cookie_path):
        return False
    return cookie_path.endswith("/") or path[len(cookie_path) : len(cookie_path) + 1] == "/"
