"""A run as a report shows it: its records in blocks, one for each app on each site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import (
    CapacityRecord,
    CheckRecord,
    VerdictRecord,
    checks_of,
)
from pytest_winserve.report.record import Record, RunRecord


@dataclass(frozen=True, slots=True)
class ShownLoad:
    """One load: the test that sent it, its result, and the article's tables of it."""

    nodeid: str
    result: Result
    tables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SiteBlock:
    """All that was measured of one app on one topology of one host. `tests` are the names of the
    tests with their outcomes; `development`: its server is made for development."""

    host: str
    topology: str
    app: str
    tests: tuple[tuple[str, str], ...]
    verdicts: tuple[VerdictRecord, ...]
    capacities: tuple[CapacityRecord, ...]
    loads: tuple[ShownLoad, ...]
    events: tuple[str, ...]
    checks: tuple[CheckRecord, ...]
    development: bool = False

    @classmethod
    def of(cls, host: str, topology: str, app: str, records: Iterable[Record]) -> SiteBlock:
        """What the records of one app on one topology of one host hold, by kind."""
        records = tuple(records)
        verdicts = tuple(verdict for record in records for verdict in record.verdicts)
        capacities = tuple(capacity for record in records for capacity in record.capacities)
        results = [(record.nodeid, one) for record in records for one in record.results]
        return cls(
            host=host,
            topology=topology,
            app=app,
            tests=tuple((record.nodeid, record.outcome) for record in records),
            verdicts=verdicts,
            capacities=capacities,
            loads=tuple(
                ShownLoad(nodeid, one.result, one.result.tsung_tables()) for nodeid, one in results
            ),
            events=tuple(event for record in records for event in record.events),
            checks=checks_of((*verdicts, *capacities, *(one for _, one in results))),
            development=any(record.development for record in records),
        )

    @property
    def measured(self) -> bool:
        """Whether there is anything to show but the outcomes of the tests."""
        return bool(self.verdicts or self.capacities or self.loads)

    @property
    def outcomes(self) -> str:
        """Such as `2 passed, 1 failed`."""
        counts = Counter(outcome for _, outcome in self.tests)
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))

    @property
    def telling_checks(self) -> list[CheckRecord]:
        """The criteria that do not hold, or only just."""
        return [check for check in self.checks if not check.passed or check.close]


@dataclass(frozen=True, slots=True)
class Report:
    """A run and its blocks: what the terminal, HTML and Markdown all show."""

    run: RunRecord
    blocks: tuple[SiteBlock, ...]

    @classmethod
    def of(cls, run: RunRecord) -> Report:
        """The report on a run."""
        return cls(run, site_blocks(run.records))


def site_blocks(records: Iterable[Record]) -> tuple[SiteBlock, ...]:
    """The records grouped by host, topology and app, in the order these first appear."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.host, record.topology, record.app), []).append(record)
    return tuple(SiteBlock.of(*key, group) for key, group in groups.items())
