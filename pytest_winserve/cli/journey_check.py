"""`winserve journey check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from pytest_winserve.cli.shared import FAILED, SERVING, explained, options, served, settings_of

if TYPE_CHECKING:
    from pytest_winserve.load.engine import Target
    from pytest_winserve.load.journeys.journey import Journey
    from pytest_winserve.load.walking import Walked

SERVED_BY = "flask"
"""Flask's own server, which every Flask app has."""


@click.command("check")
@click.argument("file", metavar="FILE")
@click.argument("target", metavar="[TOPOLOGY|URL]", default=SERVED_BY)
@options(*(name for name in SERVING if name != "as_"), "timeout", "ca", "insecure")
def check(file: str, target: str, **given: Any) -> None:
    """Walk each journey of FILE once, and show each step: the request, the answer, what was taken.

    The app is served for it, by Flask's own server unless a TOPOLOGY is named; or it is what is
    served at a URL. No secret is shown.
    """
    from pytest_winserve.load.engine import Target
    from pytest_winserve.load.handshake import shake_hands
    from pytest_winserve.load.journeys.journey_file import read_journeys
    from pytest_winserve.session.labs import headers_of
    from pytest_winserve.session.trusted import trust_of
    from pytest_winserve.system.trust import SYSTEM
    from pytest_winserve.tags import lab_tag

    with explained():
        settings = settings_of(given)
        headers = headers_of(settings)
        journeys = [journey.with_headers(headers) for journey in read_journeys(file)]
        if "://" in target:
            parts = urlsplit(target)
            base = Target(
                f"{parts.scheme}://{parts.netloc}", warmup_tag=lab_tag(1), trust=trust_of(settings)
            )
            shake_hands(base)
            good = _walk_all(journeys, base, settings.timeout)
        else:
            with served(target, settings, 0) as site:
                base = Target(site.url, warmup_tag=lab_tag(1), trust=site.trust or SYSTEM)
                good = _walk_all(journeys, base, settings.timeout)
        sys.exit(0 if good else FAILED)


def _walk_all(journeys: Sequence[Journey], target: Target, timeout: float) -> bool:
    """Show a walk through each journey; whether all came to their end."""
    from pytest_winserve.load.walking import Walk

    good = True
    for journey in journeys:
        click.echo(f"journey {journey.name}")
        broken = ""
        for one in Walk(journey, target, timeout=timeout):
            for line in _lines(one):
                click.echo(f"  {line}")
            broken = one.label if one.wrong else broken
        click.echo(f"broken off at {broken}" if broken else "complete")
        good = good and not broken
    return good


def _lines(one: Walked) -> list[str]:
    where = f" to {one.place}" if one.place else ""
    lines = [one.label, *(f"  > {line}" for line in one.request), f"  < {one.status}{where}"]
    body = " ".join(one.beginning.split())
    lines += [f"  < {body}"] if body else []
    lines += [f"  took {name} = {value}" for name, value in one.taken.items()]
    return lines + ([f"  WRONG: {one.wrong}"] if one.wrong else [])
