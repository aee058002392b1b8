"""What every site must do, whichever topology it is."""

from __future__ import annotations

import pytest

from pytest_winserve.lab.site import Site
from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.session.load_arguments import load_arguments
from pytest_winserve.session.settings import Settings


def test_answers(winserve: Site) -> None:
    """The fast path is answered, and by this run's backend."""
    answer = winserve.get(winserve.fast, timeout=30)
    assert is_good(str(answer.status_code)), f"{winserve.fast} answered {answer.status_code}"


def test_concurrency(winserve: Site) -> None:
    """A slow request blocks as many fast ones as the server's declared concurrency lets expect."""
    verdict = winserve.probe()
    expected = expected_blocked_fraction(winserve)
    if expected is not None:
        assert verdict.blocked_fraction == expected, (
            f"{winserve.topology} should block {expected:.0%} of the fast requests.\n"
            f"{verdict.summary()}"
        )


def test_capacity(winserve: Site) -> None:
    """As many slow requests run at once as the server declares."""
    capacity = winserve.capacity()
    assert capacity.as_declared is not False, (
        f"{winserve.topology} {capacity.summary()}: either the app makes requests wait for each "
        "other, or the server does not do what it declares"
    )


def test_load(winserve: Site, pytestconfig: pytest.Config) -> None:
    """Under load the site keeps answering, and every request is accounted for on every side.

    How many may fail is the user's to say, by a criterion.
    """
    from pytest_winserve.plugin import SETTINGS_KEY

    settings: Settings = pytestconfig.stash[SETTINGS_KEY]
    result = winserve.load(**load_arguments(settings))
    assert result.answered, result.summary()
    assert not result.broken, result.summary()
    assert result.ledger is not None
    assert not result.ledger.unaccounted, "\n".join(result.ledger.lines())


def expected_blocked_fraction(site: Site) -> float | None:
    """By one slow request: none of the fast ones, or those that its backend gets; None: unknown."""
    if site.declared == "unknown":
        return None
    one_at_a_time = site.declared == site.topology.count
    return 1 / site.topology.count if one_at_a_time else 0.0
