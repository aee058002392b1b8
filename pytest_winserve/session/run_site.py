"""The one site of a whole run, and what each test measures on it."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from pytest_winserve.errors import StartError
from pytest_winserve.lab.site import Site
from pytest_winserve.session.recorder import Recorder
from pytest_winserve.session.site_keys import SiteKey
from pytest_winserve.session.wanted import Wanted

FIXTURE = "winserve_session"


class RunSite:
    """A pytest plugin while the site is up: has what a test measures go into that test's record.
    A test that measured nothing has none."""

    def __init__(
        self,
        site: Site,
        follow: Callable[[pytest.Item], Recorder],
        over: Callable[[pytest.Item], None],
        told: Callable[[pytest.Item], list[str]],
    ) -> None:
        self._site = site
        self._follow = follow
        self._over = over
        self._told = told
        self._recorder: Recorder | None = None
        self._died_in = ""

    def begin(self, item: pytest.Item, events: list[str] | None = None) -> None:
        """Follow what the site does from now on, for this test."""
        self._recorder = self._follow(item)
        self._recorder.unless_idle = True
        self._recorder.events += [*self._told(item), *(events or [])]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self._died_in and FIXTURE in getattr(item, "fixturenames", ()):
            raise StartError(
                f"the site of {FIXTURE} died in {self._died_in}, and is not replaced: its URL is "
                "known to fixtures of the whole run"
            )
        self.begin(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        deaths = [] if self._died_in else self._site.deaths()
        if deaths and self._recorder is not None:
            self._died_in = item.nodeid
            self._recorder.events += [f"died during this test: {death}" for death in deaths]
        try:
            return (yield)
        finally:
            self._over(item)


def not_by_marker(item: pytest.Item, wanted: Wanted, asked: SiteKey, key: SiteKey) -> list[str]:
    """What is to be told of a test whose marker asks for another site than the run's, which is
    `key`, and `asked` by the settings alone."""
    names = getattr(item, "fixturenames", ())
    if FIXTURE not in names or "winserve" in names:
        return []
    by_marker = wanted.keys(item)
    if asked in by_marker:
        return []
    others = ", ".join(
        f"{each.topology} on {each.host}: {key.app if each.app == asked.app else each.app}"
        for each in by_marker
    )
    text = (
        f"the marker winserve asks for {others}, but {FIXTURE} is the run's site, "
        f"{key.topology} on {key.host}: {key.app}; a site by the marker is what the fixture "
        "winserve gives"
    )
    return [text]
