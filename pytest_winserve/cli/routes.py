"""`winserve routes`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.shared import FAILED, SERVING, explained, options, served, settings_of
from pytest_winserve.tags import SHORTEST_HOLD

if TYPE_CHECKING:
    from pytest_winserve.lab.site import Site

SERVED_BY = "flask"
"""Flask's own server, which every Flask app has."""
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What one GET of a path gave: its status, or why there is none, and the seconds it took."""

    path: str
    status: int | None
    error: str | None
    seconds: float

    @property
    def good(self) -> bool:
        return self.status is not None and self.status < 300


@click.command()
@click.option(
    "--measure", is_flag=True, help="one GET to each route without parameters; it may have effects"
)
@options(*(name for name in SERVING if name != "command"))
def routes(measure: bool, **given: Any) -> None:
    """List the routes of a Flask app, for --fast and --slow.

    With --measure each route that takes GET and no parameters is asked once, on Flask's own
    server; what it took is shown, and which of them to take.
    """
    with explained():
        settings = settings_of(given)
        with served(SERVED_BY, settings, 0) as site:
            known = site.deployment.backends[0].routes
            if known is None:
                click.echo(f"{site.app} does not tell its routes: it is no Flask app")
                sys.exit(FAILED)
            asked = list(_ask(site, known)) if measure else []
            click.echo(f"{site.app}, {len(known)} routes")
        times = {each.path: each for each in asked}
        for each in known:
            took = times.get(each["rule"]) if "GET" in each["methods"] else None
            click.echo(_line(each, took))
        for line in _proposal(asked) if measure else ():
            click.echo(line)


def _ask(site: Site, known: Sequence[Mapping[str, Any]]) -> Iterator[Asked]:
    """One GET after the other, of the paths that need no parameter."""
    from pytest_winserve.system.exchange import Exchanges
    from pytest_winserve.system.program import Deadline

    paths = [each["rule"] for each in known if each["plain"] and "GET" in each["methods"]]
    for path in dict.fromkeys(paths):
        with Exchanges(site.deployment.address, headers=site.headers_for) as exchanges:
            get = exchanges.get(path, {"Connection": "close"}, Deadline.after(TIMEOUT))
            exchanges.finish()
        assert get.ended is not None
        status = None if get.answer is None else get.answer.status
        yield Asked(path, status, get.error, get.ended - get.started)


def _line(route: Mapping[str, Any], took: Asked | None) -> str:
    line = f"  {', '.join(route['methods']):10} {route['rule']}"
    if took is None:
        return line
    what = took.error or f"{took.status}"
    return f"{line}  {what}, {took.seconds:.3f} s"


def _proposal(asked: Sequence[Asked]) -> Iterator[str]:
    good = [each for each in asked if each.good and each.error is None]
    if not good:
        yield "no route answered with 2xx: name a path for --fast yourself"
        return
    fast, slow = min(good, key=lambda e: e.seconds), max(good, key=lambda e: e.seconds)
    yield f"--fast {fast.path}"
    if slow.seconds >= SHORTEST_HOLD:
        yield f"--slow {slow.path}"
    else:
        yield (
            f"no --slow: none took {SHORTEST_HOLD} s, so the lab holds the fast one for a second "
            "instead"
        )
