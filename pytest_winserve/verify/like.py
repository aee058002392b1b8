"""What was measured before a site was deployed, and how the deployed one is held against it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_winserve.compare.arguments import read_runs
from pytest_winserve.compare.comparison import (
    ComparedLoad,
    Comparison,
    ComparisonRules,
    Group,
)
from pytest_winserve.compare.judging import blocked_row, capacity_row, load_group
from pytest_winserve.errors import UsageError
from pytest_winserve.load.measures.intervals import Interval
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.request_parts import NOT_SHOWN
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import CapacityRecord, VerdictRecord
from pytest_winserve.report.numbers import plural
from pytest_winserve.report.record import Record
from pytest_winserve.servers import Concurrency
from pytest_winserve.topology import Topology

HELD = " (held "
"""In the name of a slow request: the lab held it, which nobody does at a deployed site."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a results file has of one topology: the loads of its most frequent plan, by one engine,
    and the probes and capacities."""

    place: str
    topology: Topology
    host: str
    declared: Concurrency
    loads: tuple[Result, ...]
    verdicts: tuple[VerdictRecord, ...]
    capacities: tuple[CapacityRecord, ...]

    @property
    def plan(self) -> Plan:
        """What was sent. UsageError where the file does not have all of it."""
        plan = self.loads[0].plan
        data = plan.to_dict()
        if NOT_SHOWN in json.dumps([data["requests"], data.get("journeys", ())]):
            raise UsageError(
                f"{self.place}: its load was sent with values that are secrets, which are not in "
                "the file: give --header, --cookie, --auth or --journey again, and --users and "
                "--duration as they were, without --like"
            )
        return plan

    @property
    def engine(self) -> str:
        return self.loads[0].engine

    @property
    def slow(self) -> str | None:
        """The app's own slow path that was asked for; None where the lab held a request."""
        paths = [one.slow for one in self.verdicts if HELD not in one.slow]
        return paths[0] if paths else None


def measured(place: str, topology: str | None) -> Measured:
    """What the file, or the folder of a report, has of a topology, or of its only one. Raises
    UsageError."""
    by_name: dict[str, list[Record]] = {}
    for record in (record for run in read_runs(place) for record in run.records):
        if "://" not in record.topology:
            by_name.setdefault(record.topology, []).append(record)
    # A check has its probe, its capacity and its load in records of their own.
    by_name = {name: found for name, found in by_name.items() if any(r.results for r in found)}
    if not by_name:
        raise UsageError(
            f"{place}: there is no load of a topology in it; `winserve check TOPOLOGY --report "
            "DIR` or `winserve recommend --report DIR` write one"
        )
    known = ", ".join(by_name)
    if topology is None and len(by_name) > 1:
        raise UsageError(f"{place}: which of its topologies is deployed? --topology: {known}")
    name = next(iter(by_name)) if topology is None else str(Topology.parse(topology))
    if name not in by_name:
        raise UsageError(f"{place}: there is no load of {name} in it; there are: {known}")
    chosen = by_name[name]
    by_plan: dict[str, list[Result]] = {}
    for result in (load.result for record in chosen for load in record.results):
        how = json.dumps([result.engine, result.plan.without_secrets().to_dict()], sort_keys=True)
        by_plan.setdefault(how, []).append(result)
    most: list[Result] = max(by_plan.values(), key=len)
    return Measured(
        place, Topology.parse(name), chosen[0].host, chosen[0].declared,
        tuple(most),
        tuple(verdict for record in chosen for verdict in record.verdicts),
        tuple(one for record in chosen for one in record.capacities),
    )  # fmt: skip


def held_against(before: Measured, now: Record, rules: ComparisonRules) -> Comparison:
    """The deployed site (B) against what was measured (A)."""
    name = f"{before.topology} on {before.host} (A), {now.topology} (B)"
    loads = [[ComparedLoad(result, None) for result in side] for side in (
        before.loads, [load.result for load in now.results])]  # fmt: skip
    groups = [load_group(name, loads[0], loads[1], rules)]
    notes = []
    asked = {(one.slow, one.fast) for one in now.verdicts}
    alike = [one for one in before.verdicts if (one.slow, one.fast) in asked]
    if alike:
        row = blocked_row(_shares(alike), _shares(now.verdicts))
        what = f"probe: {alike[0].fast} during {alike[0].slow}"
        groups.append(Group(name, what, len(alike), len(now.verdicts), (row,)))
    elif before.verdicts:
        notes.append(
            f"not asked again: whether {before.verdicts[0].slow} blocks {before.verdicts[0].fast}"
        )
    if alike and before.capacities and now.capacities:
        row = capacity_row(_values(before.capacities), _values(now.capacities))
        runs = len(before.capacities), len(now.capacities)
        groups.append(Group(name, "capacity", *runs, (row,)))
    elif before.capacities:
        value = before.capacities[0].shown
        notes.append(f"not asked again: how many requests run at once ({value} when measured)")
    return Comparison(tuple(groups), tuple(notes), len(notes))


def told(before: Measured) -> str:
    """`results.json: nginx4-waitress on local, 6 loads`"""
    loads = plural(len(before.loads), "load")
    return f"{before.place}: {before.topology} on {before.host}, {loads}"


def _shares(verdicts: Iterable[VerdictRecord]) -> list[Interval]:
    return [Interval(one.blocked_fraction, one.blocked_fraction) for one in verdicts]


def _values(capacities: Sequence[CapacityRecord]) -> list[Interval]:
    return [
        Interval(float(one.value), math.inf if one.at_least else float(one.value))
        for one in capacities
    ]
