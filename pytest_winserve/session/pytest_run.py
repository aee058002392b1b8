"""What a run of pytest that uses the lab knows: its settings, hosts, wanted sites and results.

Every run with xdist has one too, since only a worker knows whether the lab is used. So each part is
imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.errors import WinserveError

if TYPE_CHECKING:
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.lab.site import Site
    from pytest_winserve.session.attempts import Attempt
    from pytest_winserve.session.environment import RunEnvironment
    from pytest_winserve.session.recorder import Recorder
    from pytest_winserve.session.settings import Settings
    from pytest_winserve.session.wanted import Wanted

RESULTS = "winserve-results"
"""The name of the plugin that gathers the results of the run."""

ATTEMPTS_KEY: pytest.StashKey[list[Attempt]] = pytest.StashKey()
"""What each attempt at a test has measured."""


class PytestRun:
    """A run of pytest, with what it has found out; `command_line` by the names of settings."""

    def __init__(self, config: pytest.Config, command_line: Mapping[str, Any]) -> None:
        self.config = config
        self._command_line = command_line
        self.told: list[BaseException] = []
        """The errors of the lab that a report has told in full."""

    @cached_property
    def settings(self) -> Settings:
        """The settings with the app, resolved and looked for once. Raises pytest.UsageError."""
        from pytest_winserve.session.app_search import with_app
        from pytest_winserve.session.settings import resolve

        with usage_errors():
            return with_app(resolve(self._command_line, self.config.getini))

    @cached_property
    def surveys(self) -> Surveys:
        """What the run has found out about its hosts."""
        from pytest_winserve.lab.available import Surveys
        from pytest_winserve.session.display import live_of

        return Surveys(live_of(self.config))

    @cached_property
    def wanted(self) -> Wanted:
        """What says which sites the tests want."""
        from pytest_winserve.session.wanted import Wanted

        return Wanted(self.settings, self.surveys)

    @cached_property
    def environment(self) -> RunEnvironment:
        """Settings and versions, shown above the tests and written with the results."""
        from pytest_winserve.session.environment import RunEnvironment

        return RunEnvironment(self.settings)

    def configure(self) -> None:
        """Check what was given, before anything starts. Raises pytest.UsageError."""
        from pytest_winserve.session import live_server
        from pytest_winserve.session.site_keys import validate

        settings = self.settings
        with usage_errors():
            validate(settings, self.surveys)
            if settings.live_server:
                live_server.register(self.config)

    def collect_results(self) -> None:
        """Have the results of the run gathered here, unless this is a worker of xdist."""
        plugins = self.config.pluginmanager
        if hasattr(self.config, "workerinput") or plugins.has_plugin(RESULTS):
            return
        from pytest_winserve.session.gathering import GatheredResults
        from pytest_winserve.session.results import not_tried

        environment = self.environment
        results = GatheredResults(environment, lambda: not_tried(environment, self.surveys))
        plugins.register(results, RESULTS)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Have a test run once for each site that it wants."""
        from pytest_winserve.session.wanted import parametrized_by_the_suite

        with collect_errors(metafunc):
            if parametrized_by_the_suite(metafunc):
                return
            keys, ids = self.wanted.generated(metafunc)
        metafunc.parametrize("winserve", keys, indirect=True, ids=ids)

    def parametrize_session(self, metafunc: pytest.Metafunc) -> None:
        """Have a test run once for each site of the run."""
        with collect_errors(metafunc):
            keys, ids = self.wanted.of_the_run()
        # With one site a test keeps its name: fixtures of the suite may have it use it unseen.
        if len(keys) > 1:
            metafunc.parametrize("winserve_session", keys, indirect=True, ids=ids, scope="session")

    def begin(self, items: list[pytest.Item]) -> None:
        """The tests are collected: find out what each wants, and put them in order."""
        from pytest_winserve.session.wanted import in_order

        self.collect_results()
        self.settle(items)
        in_order(items, grouped=hasattr(self.config.option, "dist"))

    def settle(self, items: list[pytest.Item]) -> None:
        """Find out what each test wants, and leave out what nobody does."""
        with usage_errors():
            unwanted = self.wanted.settle(items)
        if unwanted:
            self.config.hook.pytest_deselected(items=unwanted)
            left_out = set(unwanted)
            items[:] = [item for item in items if item not in left_out]

    def follow(self, item: pytest.Item, site: Site) -> Recorder:
        """Have what the site does from now on go into the record of this test."""
        from pytest_winserve.session.attempts import current
        from pytest_winserve.session.display import live_of
        from pytest_winserve.session.recorder import attach

        # A test that got its site by `getfixturevalue` is the first to be known of.
        self.collect_results()
        recorder = attach(site, live_of(self.config))
        current(item.stash.setdefault(ATTEMPTS_KEY, [])).recorders.append(recorder)
        return recorder


def over(item: pytest.Item) -> None:
    """The attempt at a test that runs is over."""
    for attempt in item.stash.get(ATTEMPTS_KEY, []):
        attempt.over = True


@contextmanager
def usage_errors() -> Iterator[None]:
    """An error of the lab ends the run as pytest's own usage errors do."""
    try:
        yield
    except WinserveError as error:
        raise pytest.UsageError(str(error)) from error


@contextmanager
def collect_errors(metafunc: pytest.Metafunc) -> Iterator[None]:
    """An error of the lab is one of the collection, with the test's name."""
    try:
        yield
    except WinserveError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
