"""The sites that the plugin's fixtures give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pytest_winserve.errors import WinserveError
from pytest_winserve.lab.site import Site
from pytest_winserve.session.display import live_of
from pytest_winserve.session.pytest_run import PytestRun, over
from pytest_winserve.session.run_site import RunSite, not_by_marker
from pytest_winserve.session.site_keys import SiteKey
from pytest_winserve.session.site_pool import SitePool
from pytest_winserve.session.suites_app import app_of_run
from pytest_winserve.session.wanted import SITE_KEY, marker_arguments, named_otherwise

NOT_STARTED_KEY: pytest.StashKey[SiteKey] = pytest.StashKey()
"""Of a test whose site did not come up: that site."""

_RELEASED_KEY: pytest.StashKey[bool] = pytest.StashKey()


@contextmanager
def pool_of(run: PytestRun, session: pytest.Session) -> Iterator[SitePool]:
    """The sites of the run, each of which is there until the last test that wants it is over."""
    wanted = [item.stash[SITE_KEY] for item in session.items if SITE_KEY in item.stash]
    pool = SitePool(run.settings, wanted, live_of(run.config))
    plugins = run.config.pluginmanager
    plugins.register(EndedByInterrupt(pool), "winserve-interrupt")
    yield pool
    plugins.unregister(name="winserve-interrupt")
    pool.close()


class EndedByInterrupt:
    """A pytest plugin that ends the sites of an interrupted run, before fixtures close them with
    patience."""

    def __init__(self, pool: SitePool) -> None:
        self._pool = pool

    def pytest_keyboard_interrupt(self) -> None:
        self._pool.abandon()


@contextmanager
def site_of_test(run: PytestRun, pool: SitePool, item: pytest.Item) -> Iterator[Site]:
    """The site that a test wants, shared by the tests that want the same."""
    expected = item.stash.get(SITE_KEY, None)
    key = run.wanted.key(item) if expected is None else expected
    if expected is None or item.stash.get(_RELEASED_KEY, False):
        pool.expect(key)
    try:
        with _noted_if_it_does_not_start(item, key):
            site, events = pool.site(key)
        recorder = run.follow(item, site)
        recorder.events += [*named_otherwise(item, key), *events]
        yield site
        recorder.events += [f"died during this test: {death}" for death in site.deaths()]
    finally:
        over(item)
        # One that nobody expected may be wanted again, and is kept until the end.
        if expected is not None:
            item.stash[_RELEASED_KEY] = True
            pool.release(key)


@contextmanager
def site_of_run(
    run: PytestRun, pool: SitePool, request: pytest.FixtureRequest, item: pytest.Item
) -> Iterator[Site]:
    """The run's site, followed for each test; `item` is the one that runs."""
    wanted = run.wanted
    asked: SiteKey = getattr(request, "param", None) or wanted.run_key()
    key = replace(asked, app=app_of_run(run.settings, request, asked.topology))
    pool.expect(key)
    try:
        with _noted_if_it_does_not_start(item, key):
            site, events = pool.site(key)
        run_site = RunSite(
            site,
            lambda test: run.follow(test, site),
            over,
            lambda test: not_by_marker(test, wanted, asked, key),
        )
        run_site.begin(item, events)
        run.config.pluginmanager.register(run_site, f"winserve-{id(run_site)}")
        yield site
        run.config.pluginmanager.unregister(run_site)
    finally:
        pool.release(key)


@contextmanager
def sites_of_test(
    run: PytestRun, pool: SitePool, item: pytest.Item
) -> Iterator[Callable[..., AbstractContextManager[Site]]]:
    """What gives a test sites of its own; those that are still up at its end are stopped."""
    with ExitStack() as stack:

        def factory(topology: str, **choices: Any) -> AbstractContextManager[Site]:
            keys = run.wanted.keys(item, **marker_arguments(topology=topology, **choices))
            if len(keys) != 1:
                raise pytest.UsageError(f"winserve_factory serves one topology, not {len(keys)}")
            site = pool.start(keys[0])
            run.follow(item, site)
            return stack.enter_context(site)

        yield factory
        over(item)


@contextmanager
def _noted_if_it_does_not_start(item: pytest.Item, key: SiteKey) -> Iterator[None]:
    try:
        yield
    except WinserveError:
        item.stash[NOT_STARTED_KEY] = key
        raise
