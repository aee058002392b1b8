"""Follows what a site does while a test runs, for the record of that test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_winserve.lab.observer import Live, MeasurementKind
from pytest_winserve.lab.site import Site
from pytest_winserve.load.criteria import Check
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import (
    CapacityRecord,
    CheckRecord,
    ResultRecord,
    VerdictRecord,
)
from pytest_winserve.report.record import Record


@dataclass(slots=True)
class Recorder:
    """Collects what one test measures on one site; an observer of the site while the test runs.

    `unless_idle`: there is something to record only if something was measured or is to be told.
    """

    site: Site
    positions: dict[str, int]
    live: Live
    verdicts: list[VerdictRecord] = field(default_factory=list)
    capacities: list[CapacityRecord] = field(default_factory=list)
    results: list[ResultRecord] = field(default_factory=list)
    given: list[Result] = field(default_factory=list)
    """The results as the test has them, which may require something of them until it ends."""
    events: list[str] = field(default_factory=list)
    unless_idle: bool = False

    @property
    def measured_any(self) -> bool:
        """Whether a measurement came to its end."""
        return bool(self.verdicts or self.capacities or self.results)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to record."""
        return self.measured_any or bool(self.events) or not self.unless_idle

    def progress(self, text: str) -> None:
        self.live.progress(text)

    def waiting(self, text: str) -> None:
        self.live.waiting(text)

    def event(self, text: str) -> None:
        self.events.append(text)

    def measured(
        self, kind: MeasurementKind, data: dict[str, Any], checks: Sequence[Check]
    ) -> None:
        judged = data | {"checks": [CheckRecord.of(check).to_dict() for check in checks]}
        if kind == "verdict":
            self.verdicts.append(VerdictRecord.from_dict(judged))
        elif kind == "capacity":
            self.capacities.append(CapacityRecord.from_dict(judged))
        else:
            self.results.append(ResultRecord.from_dict(judged))

    def record(self, nodeid: str, outcome: str) -> Record:
        """The record of the test of that name."""
        topology = self.site.topology
        return Record(
            nodeid=nodeid,
            outcome=outcome,
            topology=str(topology),
            host=self.site.host,
            app=self.site.app,
            declared=self.site.declared,
            server=topology.served_with,
            behind=topology.behind,
            development=topology.development,
            verdicts=tuple(self.verdicts),
            capacities=tuple(self.capacities),
            # Each is given before it is recorded, and the last one may never be.
            results=tuple(
                replace(one, judged=result.required)
                for one, result in zip(self.results, self.given, strict=False)
            ),
            events=tuple(self.events),
            machine=self.site.machine,
        )

    def logs(self) -> dict[str, str]:
        """What the site logged since this test began to use it."""
        return self.site.deployment.logs(self.positions)


def attach(site: Site, live: Live) -> Recorder:
    """Have a new recorder follow what the site does from now on."""
    recorder = Recorder(site, site.deployment.log_positions(), live)
    site.observer = recorder
    site.on_result = recorder.given.append
    return recorder
