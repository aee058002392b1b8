"""What one test measured, as it goes into results.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.lab.observer import Kind, Live
from pytest_winserve.lab.site import Site
from pytest_winserve.load.criteria import Check
from pytest_winserve.servers import Concurrency


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
