"""What servers declare held against what was measured, one row per server and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_winserve.report.measurements import worst
from pytest_winserve.report.numbers import percent
from pytest_winserve.report.record import Record, RunRecord
from pytest_winserve.report.tables import Table
from pytest_winserve.servers import Concurrency

ALONE = "alone"
NOT_TRIED = "-"
UNBOUNDED = "no bound"

Places = Mapping[str, Sequence[Record]]
"""The records of one server by where it stands: alone, or behind which front."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One topology: the capacity beside what is declared, and whether a slow request blocks."""

    at_once: str
    blocks: str


def tables(run: RunRecord) -> list[Table]:
    """One table for each host and app of which capacities of several topologies were measured.

    Records that do not say which server served are left out.
    """
    servers: dict[tuple[str, str], dict[str, dict[str, list[Record]]]] = {}
    for record in run.records:
        if record.server is not None:
            rows = servers.setdefault((record.host, record.app), {})
            places = rows.setdefault(record.server, {})
            places.setdefault(record.behind or ALONE, []).append(record)
    return [
        _table(f"{app} on {host}", rows)
        for (host, app), rows in servers.items()
        if sum(_measured(records) for row in rows.values() for records in row.values()) > 1
    ]


def left_out(run: RunRecord) -> Table | None:
    """What could not be tried, and why; None when there is nothing."""
    if not run.left_out:
        return None
    rows = [(one.name, one.host, one.state, one.reason, one.hint) for one in run.left_out]
    header = ("Not tried", "Host", "State", "Why", "The line that gets it")
    return Table("What could not be tried", header, tuple(rows))


def _measured(records: Sequence[Record]) -> bool:
    return any(record.capacities for record in records)


def _table(caption: str, rows: Mapping[str, Places]) -> Table:
    places = dict.fromkeys(place for row in rows.values() for place in row)
    header = ["Server", "Declares"]
    for place in places:
        header += [f"At once, {place}", f"Blocks, {place}"]
    lines = []
    for server, row in rows.items():
        # What one backend declares is what the topology without a front does.
        alone = row.get(ALONE)
        line = [server, _declared(alone[0].declared) if alone else NOT_TRIED]
        for place in places:
            cell = _cell(row[place]) if place in row else Cell(NOT_TRIED, NOT_TRIED)
            line += [cell.at_once, cell.blocks]
        lines.append(tuple(line))
    return Table(caption, tuple(header), tuple(lines))


def _declared(value: Concurrency) -> str:
    return UNBOUNDED if value is None else str(value)


def _cell(records: Sequence[Record]) -> Cell:
    """Of several measurements the worst."""
    capacity = worst([capacity for record in records for capacity in record.capacities])
    fractions = [verdict.blocked_fraction for record in records for verdict in record.verdicts]
    if capacity is None and not fractions:
        events = any(record.events for record in records)
        return Cell("did not start" if events else NOT_TRIED, NOT_TRIED)
    blocked = max(fractions, default=None)
    blocks = NOT_TRIED if blocked is None else "no" if blocked == 0 else percent(blocked)
    if capacity is None:
        return Cell(NOT_TRIED, blocks)
    wrong = f", NOT {_declared(capacity.declared)}" if capacity.as_declared is False else ""
    return Cell(capacity.shown + wrong, blocks)
