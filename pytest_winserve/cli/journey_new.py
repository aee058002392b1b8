"""`winserve journey new`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_winserve.cli.journey_from_har import refuse_existing, write
from pytest_winserve.cli.routes import SERVED_BY, TIMEOUT
from pytest_winserve.cli.shared import SERVING, explained, options, served, settings_of
from pytest_winserve.errors import UsageError

if TYPE_CHECKING:
    from pytest_winserve.drafts.from_routes import LoginPage
    from pytest_winserve.lab.site import Site


@click.command()
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path), default="journeys.toml",
              show_default=True, help="the file to write")  # fmt: skip
@options(*(name for name in SERVING if name != "command"))
def new(to: Path, **given: Any) -> None:
    """Write a first journey file for a Flask app.

    It has the app's routes without parameters, and its login. The app is served for it on Flask's
    own server. Of its pages only that of the login is asked.
    """
    from pytest_winserve.drafts.from_routes import example

    with explained():
        refuse_existing(to)
        with served(SERVED_BY, settings_of(given), 0) as site:
            routes = site.deployment.backends[0].routes
            if routes is None:
                raise UsageError(f"{site.app} does not tell its routes: it is no Flask app")
            login = _login_of(site)
            text = example(site.app, routes, login)
            if text is None:
                rules = ", ".join(sorted({each["rule"] for each in routes})) or "none"
                raise UsageError(
                    f"{site.app} has no page that can be asked without knowing more; its routes "
                    f"are {rules}. `winserve journey from-har` makes a journey of a recording"
                )
        write(to, text)
        click.echo(f"{to}: the journey of a visitor of {site.app}")
        if login is not None:
            click.echo(f"the login at {login.path} stands at its end, as comments: it needs users")
        click.echo(f"then try it: winserve journey check {to}")


def _login_of(site: Site) -> LoginPage | None:
    """The form of the app's login; None where it has none, or its page does not answer."""
    import requests

    from pytest_winserve.drafts.from_routes import login_page, login_path

    path = login_path(site.deployment.backends[0].routes or ())
    if path is None:
        return None
    try:
        page = site.get(path, timeout=TIMEOUT)
    except requests.RequestException:
        return None
    return login_page(path, page.text)
