"""The content of results.json, typed: a record of each test, and of the run that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from pytest_winserve.errors import UsageError
from pytest_winserve.load.results.complaints import Complaint, together
from pytest_winserve.report.measurements import (
    CapacityRecord,
    CheckRecord,
    ResultRecord,
    VerdictRecord,
    checks_of,
)
from pytest_winserve.servers import Concurrency

SCHEMA = "winserve.results/1"

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Record:
    """What one test measured on one site.

    `server` and `behind` say what serves, alone or behind which front; without a server nobody
    knows, as of a URL or in an older file. `development`: that server is made for development.
    `side` and `pair` are of `winserve compare`; `round`, `error` and `trouble` of `winserve
    recommend`. `machine` is the other machine that it ran on:
    it travels with the record, and goes into the run's environment.
    """

    nodeid: str
    outcome: str
    topology: str
    host: str
    app: str
    declared: Concurrency
    server: str | None = None
    behind: str | None = None
    verdicts: tuple[VerdictRecord, ...] = ()
    capacities: tuple[CapacityRecord, ...] = ()
    results: tuple[ResultRecord, ...] = ()
    events: tuple[str, ...] = ()
    side: str | None = None
    pair: int | None = None
    round: int | None = None
    error: str | None = None
    trouble: tuple[str, ...] | None = None
    machine: Mapping[str, Any] | None = None
    development: bool = False

    @property
    def checks(self) -> tuple[CheckRecord, ...]:
        """Every criterion that was evaluated: on the verdicts, the capacities, the results."""
        return checks_of((*self.verdicts, *self.capacities, *self.results))

    @property
    def logged(self) -> tuple[Complaint, ...]:
        """What the site's programs complained of in their logs during the measurements."""
        logs = [
            *(verdict.logged for verdict in self.verdicts),
            *(capacity.logged for capacity in self.capacities),
            *(load.result.logged for load in self.results),
        ]
        return together(complaint for log in logs for complaint in log or ())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: how it stands in results.json, and how it travels between processes."""
        trouble = None if self.trouble is None else list(self.trouble)
        served = {} if self.server is None else {"server": self.server, "behind": self.behind}
        return {
            "nodeid": self.nodeid,
            **_given(round=self.round),
            "outcome": self.outcome,
            **_given(error=self.error, trouble=trouble),
            "topology": self.topology,
            "host": self.host,
            **_given(machine=self.machine),
            "app": self.app,
            "declared": self.declared,
            **served,
            **_given(development=self.development or None),
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
            "capacities": [capacity.to_dict() for capacity in self.capacities],
            "results": [result.to_dict() for result in self.results],
            "events": list(self.events),
            **_given(side=self.side, pair=self.pair),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """The inverse of to_dict. UsageError, naming the test, when a measurement is damaged."""
        nodeid, trouble = data["nodeid"], data.get("trouble")
        return cls(
            nodeid=nodeid,
            outcome=data["outcome"],
            topology=data["topology"],
            host=data["host"],
            app=data["app"],
            declared=data.get("declared", "unknown"),
            server=data.get("server"),
            behind=data.get("behind"),
            verdicts=_read(nodeid, "verdict", VerdictRecord.from_dict, data["verdicts"]),
            capacities=_read(nodeid, "capacity", CapacityRecord.from_dict, data["capacities"]),
            results=_read(nodeid, "result", ResultRecord.from_dict, data["results"]),
            events=tuple(data["events"]),
            side=data.get("side"),
            pair=data.get("pair"),
            round=data.get("round"),
            error=data.get("error"),
            trouble=None if trouble is None else tuple(trouble),
            machine=data.get("machine"),
            development=data.get("development", False),
        )


def _given(**values: Any) -> dict[str, Any]:
    """What is not None: keys that only some records have."""
    return {name: value for name, value in values.items() if value is not None}


def _read(
    nodeid: str, what: str, read: Callable[[Mapping[str, Any]], Part], parts: list[Any]
) -> tuple[Part, ...]:
    try:
        return tuple(map(read, parts))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a {what} of {nodeid} cannot be read: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Requirement:
    """A criterion of the whole run: how often it was evaluated, and how often it failed."""

    criterion: str
    evaluated: int
    failed: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Requirement:
        return cls(data["criterion"], data["evaluated"], data["failed"])


@dataclass(frozen=True, slots=True)
class NotTried:
    """What a host cannot serve with: `state` is missing (`hint` is the line that gets it) or
    never."""

    host: str
    name: str
    state: str
    reason: str
    hint: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "mend": self.hint,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NotTried:
        return cls(data["host"], data["name"], data["state"], data["reason"], data["mend"])


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: where it was, the records of its tests, and what became of its requirements."""

    created: str
    environment: Mapping[str, Any]
    records: tuple[Record, ...]
    requirements: tuple[Requirement, ...] = ()
    left_out: tuple[NotTried, ...] = ()
    recommendation: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The content of results.json."""
        data = {
            "schema": SCHEMA,
            "created": self.created,
            "environment": dict(self.environment),
            "tests": [record.to_dict() for record in self.records],
            "requirements": [requirement.to_dict() for requirement in self.requirements],
            "left_out": [not_tried.to_dict() for not_tried in self.left_out],
        }
        if self.recommendation:
            data["recommendation"] = list(self.recommendation)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """The inverse of to_dict. UsageError when a measurement is damaged."""
        return cls(
            created=data.get("created", ""),
            environment=data["environment"],
            records=tuple(map(Record.from_dict, data["tests"])),
            requirements=tuple(map(Requirement.from_dict, data["requirements"])),
            # Older files do not have it.
            left_out=tuple(map(NotTried.from_dict, data.get("left_out", ()))),
            recommendation=tuple(data.get("recommendation", ())),
        )
