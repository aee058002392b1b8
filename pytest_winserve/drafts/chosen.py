"""Which exchanges of a recording are a user's: those with one host, and no static files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pytest_winserve.drafts.har_file import Exchange
from pytest_winserve.errors import UsageError
from pytest_winserve.system.header_fields import value_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""What a step of a journey can send."""
STATIC_KINDS = ("font", "image", "manifest", "media", "script", "stylesheet", "texttrack")
STATIC_TYPES = re.compile(
    r"(audio|font|image|video)/|text/(css|javascript)|.*[/-](javascript|wasm)"
)
STATIC_ENDS = re.compile(
    r".*\.(avif|css|eot|gif|ico|jpe?g|js|map|mjs|mp[34]|otf|png|svg|ttf|wasm|webm|webmanifest|"
    r"webp|woff2?)"
)
OF_THE_BROWSER = ("/.well-known/appspecific/",)
"""What the developer tools of Chromium ask for by themselves."""

STATIC = "static files"
OTHER_HOST = "requests to other hosts"
NO_ANSWER = "requests without an answer"
OTHER = "requests that are no step, such as a WebSocket's"
"""Why requests are left out."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The exchanges of a journey, and what was left out, in words."""

    exchanges: tuple[Exchange, ...]
    left_out: tuple[str, ...]


def chosen(found: Sequence[Exchange], only: str | None, static: bool, name: str) -> Chosen:
    """The exchanges with one host. UsageError where it is not clear which, or none is left."""
    counts: Counter[str] = Counter()
    kept = []
    for each in found:
        why = _left_out(each, static)
        if why:
            counts[why] += 1
        else:
            kept.append(each)
    if not kept:
        words = ", ".join(_counted(counts)) or "no request by HTTP"
        raise UsageError(
            f"{name} has nothing that a journey could send: it has {words}"
            f"{'; --static takes static files, too' if counts[STATIC] else ''}"
        )
    host = _host(kept, only, name)
    mine = [each for each in kept if each.host == host]
    if len(mine) < len(kept):
        counts[OTHER_HOST] = len(kept) - len(mine)
    return Chosen(tuple(_without_upgrades(mine)), tuple(_counted(counts)))


def _left_out(each: Exchange, static: bool) -> str:
    """Why an exchange is none of a journey, or an empty text."""
    if each.answer.status < 200:
        return NO_ANSWER if each.answer.status == 0 else OTHER
    path = urlsplit(each.path).path
    if each.method not in METHODS or path.startswith(OF_THE_BROWSER):
        return OTHER
    if static or each.method != "GET":
        return ""
    if each.kind in STATIC_KINDS or STATIC_ENDS.fullmatch(path.lower()):
        return STATIC
    return STATIC if STATIC_TYPES.match(each.answer.type) else ""


def _host(kept: Sequence[Exchange], only: str | None, name: str) -> str:
    hosts = Counter(each.host for each in kept)
    listed = ", ".join(f"{host} ({count})" for host, count in hosts.most_common())
    if only is None:
        if len(hosts) > 1:
            most = hosts.most_common(1)[0][0]
            raise UsageError(
                f"{name} has requests to {len(hosts)} hosts, and a journey goes to one: {listed}; "
                f"name it by --only, such as --only {most}"
            )
        return next(iter(hosts))
    asked = only.partition("://")[2].partition("/")[0] if "://" in only else only
    if asked.lower() not in hosts:
        raise UsageError(f"--only {only}: {name} has no request to it; its hosts are {listed}")
    return asked.lower()


def _without_upgrades(mine: Sequence[Exchange]) -> Iterator[Exchange]:
    """Without the redirects that only lead from http to https: the site is asked where it is."""
    for each in mine:
        target = target_of(each)
        if each.scheme == "http" and target == f"https://{each.host}{each.path}":
            continue
        yield each


def _counted(counts: Counter[str]) -> Iterator[str]:
    for what, count in counts.items():
        yield f"{what} ({count})"


def target_of(each: Exchange) -> str | None:
    """Where an answer leads to, as a whole URL; None where it is no redirect."""
    place = value_of(each.answer.headers, "Location")
    if not 300 <= each.answer.status < 400 or not place:
        return None
    return urljoin(each.url, place).partition("#")[0]
