"""What servers declare held against what was measured, one row per server and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_winserve.report.numbers import percent
from pytest_winserve.report.tables import Table

ALONE = "alone"
NOT_TRIED = "-"
UNBOUNDED = "no bound"


@dataclass(frozen=True, slots=True)
class Cell:
    """One topology: the capacity beside what is declared, and whether a slow request blocks."""

    at_once: str
    blocks: str
    contradicts: bool


def tables(data: Mapping[str, Any]) -> list[Table]:
    """One table for each host and app of which capacities of several topologies were measured.

    Tests of results files that do not say with which server they were made are left out.
    """
    found: dict[tuple[str, str], dict[str, dict[str, list[Mapping[str, Any]]]]] = {}
    for test in data["tests"]:
        if "server" in test:
            rows = found.setdefault((test["host"], test["app"]), {})
            row = rows.setdefault(test["server"], {})
            row.setdefault(test["behind"] or ALONE, []).append(test)
    return [
        _table(f"{app} on {host}", rows)
        for (host, app), rows in found.items()
        if sum(_measured(tests) for row in rows.values() for tests in row.values()) > 1
    ]


def left_out(data: Mapping[str, Any]) -> Table | None:
    """What could not be tried, and why; None when there is nothing."""
    found = data.get("left_out", [])
    if not found:
        return None
    rows = [(each["name"], each["host"], each["state"], each["reason"], each["mend"])
            for each in found]  # fmt: skip
    header = ("Not tried", "Host", "State", "Why", "The line that gets it")
    return Table("What could not be tried", header, tuple(rows))


def _measured(tests: Sequence[Mapping[str, Any]]) -> bool:
    return any(test["capacities"] for test in tests)


def _table(caption: str, rows: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> Table:
    places = dict.fromkeys(place for row in rows.values() for place in row)
    header = ["Server", "Declares"]
    for place in places:
        header += [f"At once, {place}", f"Blocks, {place}"]
    lines = []
    for server, row in rows.items():
        # What one backend declares is what the topology without a front does.
        alone = row.get(ALONE)
        line = [server, _declared(alone[0]["declared"]) if alone else NOT_TRIED]
        for place in places:
            cell = _cell(row[place]) if place in row else Cell(NOT_TRIED, NOT_TRIED, False)
            line += [cell.at_once, cell.blocks]
        lines.append(tuple(line))
    return Table(caption, tuple(header), tuple(lines))


def _declared(value: object) -> str:
    return UNBOUNDED if value is None else str(value)


def _cell(tests: Sequence[Mapping[str, Any]]) -> Cell:
    """Of several measurements the worst."""
    capacities = [each for test in tests for each in test["capacities"]]
    verdicts = [each for test in tests for each in test["verdicts"]]
    if not capacities and not verdicts:
        events = [event for test in tests for event in test["events"]]
        return Cell("did not start" if events else NOT_TRIED, NOT_TRIED, bool(events))
    blocked = max((verdict["blocked_fraction"] for verdict in verdicts), default=None)
    blocks = NOT_TRIED if blocked is None else "no" if blocked == 0 else percent(blocked)
    if not capacities:
        return Cell(NOT_TRIED, blocks, False)
    worst = min(capacities, key=lambda each: (each["value"], each["at_least"]))
    wrong = contradicts(worst)
    value = f"{'>= ' if worst['at_least'] else ''}{worst['value']}"
    return Cell(f"{value}, NOT {_declared(worst['declared'])}" if wrong else value, blocks, wrong)


def contradicts(capacity: Mapping[str, Any]) -> bool:
    """Whether a measured capacity is not what the server declares."""
    value, at_least, declared = (capacity[key] for key in ("value", "at_least", "declared"))
    if declared == "unknown":
        return False
    if declared is None or declared > capacity["limit"]:
        return not at_least
    return bool(value != declared)
