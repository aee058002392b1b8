"""The sites of a test run: started once per topology, host and app, and shared.

A site is closed when the last test that asked for it is over; one that died is replaced for the
next test, and its death is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.errors import StopError, WinserveError
from pytest_winserve.lab import Lab, expand
from pytest_winserve.live import Live
from pytest_winserve.load.criteria import Check
from pytest_winserve.load.plan import Request
from pytest_winserve.servers import Concurrency
from pytest_winserve.servers.command import check_command
from pytest_winserve.settings import Settings
from pytest_winserve.site import Kind, Site
from pytest_winserve.survey import Surveys
from pytest_winserve.topology import Topology

FAILED_BEFORE = "could not be started for an earlier test"


@dataclass(frozen=True, slots=True)
class SiteKey:
    """What a test asks for. Tests with equal keys share a site."""

    topology: str
    host: str
    app: str
    command: str | None
    slow: str
    fast: str

    def not_started(self, reason: str) -> dict[str, Any]:
        """The record of a test for which the site could not be brought up."""
        topology = Topology.parse(self.topology)
        return {
            "topology": self.topology,
            "host": self.host,
            "app": self.command if topology.server == "command" and self.command else self.app,
            "declared": topology.declared,
            "server": topology.served_with,
            "behind": topology.behind,
            "verdicts": [],
            "capacities": [],
            "results": [],
            "events": [f"did not start: {reason}"],
        }

    def group(self) -> str:
        """A name for the tests that should run in one worker."""
        return f"{self.host}:{self.topology}:{self.app}"


def site_keys(settings: Settings, marker: dict[str, Any], surveys: Surveys) -> list[SiteKey]:
    """What a test with these marker arguments asks for, hosts outermost. Raises UsageError."""
    from pytest_winserve.hosts import open_host

    def several(name: str) -> Sequence[str]:
        value = marker.get(name, getattr(settings, name))
        return value.split(",") if isinstance(value, str) else value

    def one(name: str) -> Any:
        return marker.get(name, getattr(settings, name))

    command = one("command")
    for path in (one("slow"), one("fast")):
        Request(path)
    keys = [
        SiteKey(str(topology), host, one("app"), command, one("slow"), one("fast"))
        for host in several("host")
        for text in several("topology")
        for topology in expand(
            text.strip(), open_host(host, provision=settings.provision), command, surveys
        )
    ]
    if any(Topology.parse(key.topology).server == "command" for key in keys):
        check_command(command)
    return list(dict.fromkeys(keys))


@dataclass(slots=True)
class Record:
    """What one test measured on one site; an observer of the site while the test runs."""

    site: Site
    positions: dict[str, int]
    live: Live
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    capacities: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def progress(self, text: str) -> None:
        self.live.progress(text)

    def waiting(self, text: str) -> None:
        self.live.waiting(text)

    def event(self, text: str) -> None:
        self.events.append(text)

    def measured(self, kind: Kind, data: dict[str, Any], checks: Sequence[Check]) -> None:
        place = {"verdict": self.verdicts, "capacity": self.capacities, "result": self.results}
        place[kind].append(data | judged(checks))

    def to_dict(self) -> dict[str, Any]:
        """The record as in `results.json`, without the test's name and outcome."""
        declared: Concurrency = self.site.declared
        return {
            "topology": str(self.site.topology),
            "host": self.site.host,
            "machine": self.site.machine,
            "app": self.site.app,
            "declared": declared,
            "server": self.site.topology.served_with,
            "behind": self.site.topology.behind,
            "verdicts": self.verdicts,
            "capacities": self.capacities,
            "results": self.results,
            "events": self.events,
        }

    def logs(self) -> dict[str, str]:
        """What the site logged since this test began to use it."""
        return self.site.deployment.logs(self.positions)


def judged(checks: Iterable[Check]) -> dict[str, Any]:
    """The `checks` of a measurement as in `results.json`."""
    found = [
        {
            "criterion": str(check.criterion),
            "measured": check.shown,
            "passed": check.passed,
            "reason": check.note,
            "close": check.close,
        }
        for check in checks
    ]
    return {"checks": found}


def attach(site: Site, live: Live) -> Record:
    """Have a new record follow what the site does from now on."""
    record = Record(site, site.deployment.log_positions(), live)
    site.observer = record
    return record


class SitePool:
    """Starts, shares, replaces and closes the sites of one test run (or of one xdist worker)."""

    def __init__(self, settings: Settings, wanted: Iterable[SiteKey]) -> None:
        self._settings = settings
        self._wanted = Counter(wanted)
        self._labs: dict[str, Lab] = {}
        self._open = ExitStack()
        self._sites: dict[SiteKey, Site] = {}
        self._failed: dict[SiteKey, WinserveError] = {}

    def lab(self, host: str) -> Lab:
        """The lab of a host, with the run's settings."""
        if host not in self._labs:
            lab = Lab(
                host,
                provision=self._settings.provision,
                load_from=self._settings.load_from,
                nginx=self._settings.nginx,
                engine=self._settings.engine,
                require=self._settings.require,
                allow_limited=self._settings.limited == "allow",
            )
            self._labs[host] = self._open.enter_context(lab)
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
        error = type(first).__new__(type(first))
        reason = str(first).partition("\n")[0]
        error.args = (f"{key.topology} {FAILED_BEFORE}: {reason}",)
        return error

    def start(self, key: SiteKey) -> Site:
        """A site of one's own for `key`; the caller closes it."""
        return self.lab(key.host).serve(
            Topology.parse(key.topology), key.app, command=key.command, slow=key.slow, fast=key.fast
        )

    def release(self, key: SiteKey) -> None:
        """One test that asked for `key` is over. Raises StopError when it was the last."""
        self._wanted[key] -= 1
        if not self._wanted[key] and key in self._sites:
            self._sites.pop(key).close()

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
