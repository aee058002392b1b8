"""Where an app thinks it is, by what it answers: a redirect or a cookie that leads elsewhere than
to where the client asked, told once for each kind with what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PROXY_FIX = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)"
MOST_COOKIES = 20
LONGEST_ATTRIBUTES = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a client asked: the scheme, what it called the host (with the port), and the path."""

    scheme: str
    host: str
    path: str

    @property
    def site(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def url(self) -> SplitResult:
        return urlsplit(self.site)


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer says of places: where it redirects to, and its cookies as `attributes` has
    them. `request` is the label of what was asked."""

    request: str
    location: str = ""
    cookies: tuple[str, ...] = ()


def attributes(header: str) -> str:
    """A Set-Cookie header without the cookie's value: `session; Secure; Path=/`."""
    pair, mark, rest = header.partition(";")
    return f"{pair.partition('=')[0].strip()}{mark}{rest}"[:LONGEST_ATTRIBUTES]


def astray(
    asked: Mapping[str, Asked], answers: Iterable[Told], backends: Iterable[str]
) -> tuple[str, ...]:
    """The kinds of places that lead elsewhere, each in words by its first example. `asked` is by
    the label of a request; `backends` are the backends' own addresses, `127.0.0.1:8001`."""
    own = frozenset(backends)
    found: dict[str, str] = {}
    for one in answers:
        place = asked.get(one.request)
        if place is not None:
            for kind, words in (*_of_redirect(one, place, own), *_of_cookies(one, place)):
                found.setdefault(kind, words)
    return tuple(found.values())


def _of_redirect(one: Told, asked: Asked, backends: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Nothing where it leads to the same place, or to another host altogether: a login elsewhere
    is somebody's intention."""
    try:
        to, here = urlsplit(one.location, asked.scheme), asked.url
        to_port, here_port = (url.port or PORTS.get(url.scheme) for url in (to, here))
    except ValueError:  # whatever an app puts there
        return
    if not to.hostname or not here.hostname or to.scheme not in PORTS:
        return
    redirects = f"{one.request} redirects to {one.location}"
    same_host = to.hostname == here.hostname or {to.hostname, here.hostname} <= LOOPBACK
    same_port = to_port == here_port
    if f"{_plain(to.hostname)}:{to_port}" in backends and not (same_host and same_port):
        words = (
            f"{redirects}, a backend's own address, and the client asked {asked.site}. The app is "
            f"to take its address from what the front says: {PROXY_FIX}"
        )
        yield "backend", words
    elif same_host and to.scheme != here.scheme:
        words = (
            f"{redirects}, another scheme than the client's, who asked {asked.site}. Behind a "
            f"front that ends TLS the app learns the scheme by X-Forwarded-Proto: {PROXY_FIX}; "
            f"without TLS the setting that forces {to.scheme} has to be off"
        )
        yield "scheme", words
    elif same_host and not same_port:
        words = (
            f"{redirects}, another port than the client's, who asked {asked.site}. The app is to "
            "take host and port from the request, not from its settings (SERVER_NAME), and the "
            f"front to pass them on with the port (Host: $http_host in nginx): {PROXY_FIX}"
        )
        yield "port", words


def _of_cookies(one: Told, asked: Asked) -> Iterator[tuple[str, str]]:
    host = asked.url.hostname or ""
    for cookie in one.cookies:
        name, *parts = (part.strip() for part in cookie.split(";"))
        given = {
            key.strip().lower(): value.strip()
            for key, _, value in (part.partition("=") for part in parts)
        }
        sets = f"{one.request} sets the cookie {name} with"
        domain = given.get("domain", "").lstrip(".").lower()
        if domain and host != domain and not host.endswith(f".{domain}"):
            words = (
                f"{sets} Domain={domain}, and the client asked {host}: it does not keep the "
                "cookie. Leave the domain out of the app's settings (SESSION_COOKIE_DOMAIN), or "
                "ask by that name (the header Host)"
            )
            yield "domain", words
        if "secure" in given and asked.scheme == "http":
            words = (
                f"{sets} Secure, and the client asked by http: it does not send the cookie back, "
                "so nobody stays logged in. Over http leave it out (SESSION_COOKIE_SECURE), or "
                "take a front with front.tls=true; where the app is deployed, let the front end TLS"
            )
            yield "secure", words
        path = given.get("path", "")
        if path.startswith("/") and not _covers(path, asked.path):
            words = (
                f"{sets} Path={path}, and the client asked {asked.path}: it does not send the "
                "cookie there again. Where a front serves the app below a prefix, the front is "
                "to say so (X-Forwarded-Prefix) and the app to believe it (ProxyFix with "
                "x_prefix=1); else see SESSION_COOKIE_PATH and APPLICATION_ROOT"
            )
            yield "path", words


def _covers(path: str, asked: str) -> bool:
    """Whether a cookie of this path goes with a request (RFC 6265, 5.1.4)."""
    asked = asked.partition("?")[0]
    return asked == path or asked.startswith(path if path.endswith("/") else f"{path}/")


def _plain(host: str) -> str:
    return "127.0.0.1" if host in LOOPBACK else host
