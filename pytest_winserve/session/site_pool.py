"""The sites of a test run: started once per topology, host and app, and shared.

A site is closed when the last test that asked for it is over; one that died is replaced for the
next test, and its death is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack

from pytest_winserve.errors import MissingComponent, StopError, WinserveError
from pytest_winserve.lab.lab import Lab
from pytest_winserve.lab.observer import Live
from pytest_winserve.lab.site import Site
from pytest_winserve.session.labs import lab_of
from pytest_winserve.session.load_arguments import journeys_of, login_of
from pytest_winserve.session.settings import Settings
from pytest_winserve.session.site_keys import FAILED_BEFORE, SiteKey
from pytest_winserve.topology import Topology


class SitePool:
    """Starts, shares, replaces and closes the sites of one test run (or of one xdist worker)."""

    def __init__(
        self, settings: Settings, wanted: Iterable[SiteKey], live: Live | None = None
    ) -> None:
        self._settings = settings
        self._live = live
        self._wanted = Counter(wanted)
        self._labs: dict[str, Lab] = {}
        self._open = ExitStack()
        self._sites: dict[SiteKey, Site] = {}
        self._failed: dict[SiteKey, WinserveError] = {}
        self._started: list[Site] = []

    def lab(self, host: str) -> Lab:
        """The lab of a host, with the run's settings."""
        if host not in self._labs:
            self._labs[host] = self._open.enter_context(
                lab_of(self._settings, host, live=self._live)
            )
        return self._labs[host]

    def site(self, key: SiteKey) -> tuple[Site, list[str]]:
        """The site for `key`, started unless it runs, and what is to be told about it.

        Raises what `Lab.serve` raises; for a second test that asks for a site that could not be
        started, the same in short.
        """
        events = []
        if key in self._failed:
            raise self._again(key)
        site = self._sites.get(key)
        if site is not None:
            deaths = site.deaths()
            if not deaths:
                return site, []
            events = [f"replaced before this test: {death}" for death in deaths]
            del self._sites[key]
            try:
                site.close()
            except StopError as error:
                events.append(str(error))
        try:
            site = self.start(key)
        except WinserveError as error:
            self._failed[key] = error
            raise
        self._sites[key] = site
        return site, events

    def _again(self, key: SiteKey) -> WinserveError:
        """The error of an earlier start once more: its first line says enough now."""
        first = self._failed[key]
        reason = str(first).partition("\n")[0]
        error = type(first).__new__(type(first))
        if isinstance(first, MissingComponent):
            vars(error).update(component=first.component, reason=first.reason, hint=first.hint)
        error.args = (f"{key.topology} {FAILED_BEFORE}: {reason}",)
        return error

    def start(self, key: SiteKey) -> Site:
        """A site of one's own for `key`; the caller closes it."""
        site = self.lab(key.host).serve(
            Topology.parse(key.topology), key.app, command=key.command, slow=key.slow,
            fast=key.fast, start_timeout=key.start_timeout, journeys=journeys_of(key.journey),
            login=login_of(key.as_),
        )  # fmt: skip
        self._started.append(site)
        return site

    def expect(self, key: SiteKey) -> None:
        """One more test than was known asks for `key`."""
        self._wanted[key] += 1

    def release(self, key: SiteKey) -> None:
        """One test that asked for `key` is over. Raises StopError when it was the last."""
        self._wanted[key] -= 1
        if not self._wanted[key] and key in self._sites:
            self._sites.pop(key).close()

    def abandon(self) -> None:
        """End every site that is still up at once: the run was interrupted."""
        for site in self._started:
            site.abandon()

    def close(self) -> None:
        """Close what is left. Raises StopError with all that went wrong."""
        problems = []
        while self._sites:
            _, site = self._sites.popitem()
            try:
                site.close()
            except StopError as error:
                problems.append(str(error))
        self._open.close()
        if problems:
            raise StopError("\n".join(problems))
