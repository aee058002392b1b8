"""What every site must do, whichever topology it is."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import AppError
from pytest_winserve.lab.site import Site
from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.session.load_arguments import load_arguments
from pytest_winserve.session.site_keys import check_slow
from pytest_winserve.session.wanted import SITE_KEY, only_with_several_processes


@pytest.fixture(autouse=True)
def _can_be_measured(request: pytest.FixtureRequest) -> None:
    """One message for the whole run when the app cannot be asked: it is the same in each
    topology."""
    keys = [item.stash[SITE_KEY] for item in request.session.items if SITE_KEY in item.stash]
    try:
        for key in keys:
            check_slow(key.topology, key.slow)
        request.getfixturevalue("winserve").check_fast_path()
    except AppError:
        request.session.shouldstop = "nothing can be measured of this app"
        raise


def test_answers(winserve: Site) -> None:
    """The fast path is answered, and by this run's backend."""
    answer = winserve.get(winserve.fast, timeout=30)
    assert is_good(str(answer.status_code)), f"{winserve.fast} answered {answer.status_code}"
    nothing_died(winserve)


def test_concurrency(winserve: Site) -> None:
    """A slow request blocks as many fast ones as the server's declared concurrency lets expect."""
    verdict = winserve.probe()
    expected = expected_blocked_fraction(winserve)
    if expected is not None:
        assert verdict.blocked_fraction == expected, (
            f"{winserve.topology} should block {expected:.0%} of the fast requests.\n"
            f"{verdict.summary()}"
        )
    nothing_died(winserve)


def test_capacity(winserve: Site) -> None:
    """As many slow requests run at once as the server declares."""
    capacity = winserve.capacity()
    assert capacity.as_declared is not False, (
        f"{winserve.topology} {capacity.summary()}: either the app makes requests wait for each "
        "other, or the server does not do what it declares"
    )
    nothing_died(winserve)


def test_load(winserve: Site, pytestconfig: pytest.Config) -> None:
    """Under load the site keeps answering, and every request is accounted for on every side.

    How many may fail is the user's to say, by a criterion.
    """
    from pytest_winserve.plugin import RUN_KEY

    settings = pytestconfig.stash[RUN_KEY].settings
    result = winserve.load(**load_arguments(settings))
    assert result.answered, result.summary()
    assert not result.broken, result.summary()
    assert result.ledger is not None
    assert not result.ledger.unaccounted, "\n".join(result.ledger.lines())
    nothing_died(winserve)


@only_with_several_processes
def test_several_processes(winserve: Site) -> None:
    """A user who meets one process after another is not lost.

    What each process has for itself, such as a scheduler, is told and fails nothing.
    """
    found = winserve.several_processes()
    if found.lost:
        pytest.fail("\n".join(["users are lost between processes:", *found.lost]), pytrace=False)
    nothing_died(winserve)


def nothing_died(site: Site) -> None:
    """No process of the site has ended by itself, however well the others went on."""
    if deaths := site.deaths():
        pytest.fail("\n".join(["died unasked:", *deaths]), pytrace=False)


def expected_blocked_fraction(site: Site) -> float | None:
    """By one slow request: none of the fast ones, or those that its backend gets; None: unknown."""
    if site.declared == "unknown":
        return None
    one_at_a_time = site.declared == site.topology.count
    return 1 / site.topology.count if one_at_a_time else 0.0
