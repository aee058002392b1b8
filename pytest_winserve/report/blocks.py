"""The records of results.json, each with its results read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.results.result import Result


@dataclass(frozen=True, slots=True)
class Load:
    """One load: the test that sent it, its result, the article's tables and the criteria."""

    nodeid: str
    result: Result
    tables: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Block:
    """All that was measured of one app on one topology of one host."""

    host: str
    topology: str
    app: str
    tests: list[tuple[str, str]] = field(default_factory=list)
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    capacities: list[Mapping[str, Any]] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

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
    def telling_checks(self) -> list[Mapping[str, Any]]:
        """The criteria that do not hold, or only just, of the verdicts, capacities and loads."""
        return [check for check in self.checks if not check["passed"] or check.get("close")]

    @property
    def checks(self) -> list[Mapping[str, Any]]:
        """Every criterion that was evaluated, in the order of the measurements."""
        sources: list[Sequence[Mapping[str, Any]]] = [
            *(verdict["checks"] for verdict in self.verdicts),
            *(capacity["checks"] for capacity in self.capacities),
            *(load.checks for load in self.loads),
        ]
        return [check for source in sources for check in source]


def blocks(data: Mapping[str, Any]) -> list[Block]:
    """The tests of `data` grouped by host, topology and app, in the order they first appear.

    UsageError when a result in `data` is damaged.
    """
    found: dict[tuple[str, str, str], Block] = {}
    for test in data["tests"]:
        key = (test["host"], test["topology"], test["app"])
        block = found.setdefault(key, Block(*key))
        block.tests.append((test["nodeid"], test["outcome"]))
        block.verdicts.extend(test["verdicts"])
        block.capacities.extend(test["capacities"])
        block.events.extend(test["events"])
        for raw in test["results"]:
            block.loads.append(_load(test["nodeid"], raw))
    return list(found.values())


def read_result(nodeid: str, raw: Mapping[str, Any]) -> Result:
    """A result as it stands in results.json. UsageError, naming the test, when it is damaged."""
    try:
        return Result.from_dict({key: raw[key] for key in raw if key != "checks"})
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a result of {nodeid} cannot be read: {error!r}") from error


def _load(nodeid: str, raw: Mapping[str, Any]) -> Load:
    result = read_result(nodeid, raw)
    return Load(nodeid, result, result.tsung_tables(), raw["checks"])
