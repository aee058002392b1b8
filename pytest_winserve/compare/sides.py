"""Finds what was measured the same way on both sides, and has it compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_winserve.compare.comparison import (
    ComparedLoad,
    ComparedTest,
    Comparison,
    ComparisonRules,
    Group,
    SideMeasurements,
)
from pytest_winserve.compare.judging import blocked_row, capacity_row, load_group
from pytest_winserve.errors import UsageError
from pytest_winserve.load.measures.intervals import Interval
from pytest_winserve.report.findings import load_title
from pytest_winserve.report.numbers import plural
from pytest_winserve.report.record import Record, RunRecord


def compare(a: Sequence[RunRecord], b: Sequence[RunRecord], rules: ComparisonRules) -> Comparison:
    """Compare the contents of results files, one or more on each side.

    UsageError when the sides have nothing in common, and when a test of both sides sent loads by
    different plans or engines.
    """
    # Loads that were run in pairs are pairs of one file, and not of two.
    side_a, side_b = (
        _collect(replace(record, pair=None) for run in side for record in run.records)
        for side in (a, b)
    )
    return _compare(side_a, side_b, _environments(a, b), rules)


def compare_sides(run: RunRecord, rules: ComparisonRules) -> Comparison:
    """Compare the sides A and B that `winserve compare` has run and written into one file.

    UsageError when the file has no such sides.
    """
    sides = {side: [r for r in run.records if r.side == side] for side in ("A", "B")}
    if not (sides["A"] and sides["B"]):
        raise UsageError(
            "the file has no sides A and B, as `winserve compare TOPOLOGY TOPOLOGY` writes them; "
            "name a second file to compare it with"
        )
    names = {side: _listed(r.topology for r in records) for side, records in sides.items()}
    both = f"A {names['A']}, B {names['B']}"
    side_a, side_b = (
        _collect(replace(record, topology=both, app="") for record in records)
        for records in sides.values()
    )
    return _compare(side_a, side_b, [], rules)


def _collect(records: Iterable[Record]) -> dict[ComparedTest, SideMeasurements]:
    tests: dict[ComparedTest, SideMeasurements] = {}
    for record in records:
        key = ComparedTest(record.nodeid, record.topology, record.host, record.app)
        _add(tests.setdefault(key, SideMeasurements()), record)
    return {key: measured for key, measured in tests.items() if measured}


def _add(measured: SideMeasurements, record: Record) -> None:
    for result in (load.result for load in record.results):
        how = json.dumps(
            {"engine": result.engine, **result.plan.without_secrets().to_dict()}, sort_keys=True
        )
        measured.loads.setdefault(how, []).append(ComparedLoad(result, record.pair))
    for verdict in record.verdicts:
        sleepers = plural(verdict.sleepers, "slow request")
        how = f"{verdict.fast} during {sleepers} to {verdict.slow}"
        share = verdict.blocked_fraction
        measured.blocked.setdefault(how, []).append(Interval(share, share))
    for capacity in record.capacities:
        low = float(capacity.value)
        measured.capacities.append(Interval(low, math.inf if capacity.at_least else low))


def _compare(
    a: Mapping[ComparedTest, SideMeasurements],
    b: Mapping[ComparedTest, SideMeasurements],
    notes: list[str],
    rules: ComparisonRules,
) -> Comparison:
    common = [key for key in a if key in b]
    if not common:
        raise UsageError(_nothing_in_common(a, b))
    single: list[str] = []
    for one, other, name in ((a, b, "A"), (b, a, "B")):
        single += [f"only in {name}: {key}" for key in one if key not in other]
    groups: list[Group] = []
    for key in common:
        compared, alone = _groups(key, a[key], b[key], rules)
        groups += compared
        single += alone
    if not groups:
        raise UsageError(
            f"the sides have {plural(len(common), 'test')} in common, but no measurement of one "
            f"kind on both: {_listed(single)}"
        )
    return Comparison(tuple(groups), (*notes, *single), len(single))


def _nothing_in_common(
    a: Mapping[ComparedTest, SideMeasurements], b: Mapping[ComparedTest, SideMeasurements]
) -> str:
    if not a or not b:
        empty = " and ".join(name for name, side in (("A", a), ("B", b)) if not side)
        return f"nothing to compare: there is no measurement in {empty}"
    for what in ("topology", "host", "app", "test"):
        there, here = ({getattr(key, what) for key in side} for side in (a, b))
        if not there & here:
            return (
                f"nothing to compare: the {what} is {_listed(there)} in A and {_listed(here)} in "
                "B; compare results of the same test, topology, host and app, or have "
                "`winserve compare TOPOLOGY TOPOLOGY` run two topologies itself"
            )
    return (
        "nothing to compare: no test of A was run in B on the same topology and host with the same "
        f"app; A has {_listed(map(str, a))}, and B {_listed(map(str, b))}"
    )


def _listed(names: Iterable[str], most: int = 4) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - most} more" if len(unique) > most else ""
    return ", ".join(unique[:most]) + more


def _groups(
    key: ComparedTest, a: SideMeasurements, b: SideMeasurements, rules: ComparisonRules
) -> tuple[list[Group], list[str]]:
    """The groups of one test, and what only one side of it has."""
    groups: list[Group] = []
    name = f"{key.test}: {key.topology} on {key.host}" + (f", {key.app}" if key.app else "")
    if a.loads and b.loads and not a.loads.keys() & b.loads.keys():
        raise UsageError(f"{name}: the plans differ, {_plan_difference(a.loads, b.loads)}; "
                         "compare loads of one plan")  # fmt: skip
    for how in filter(b.loads.__contains__, a.loads):
        groups.append(load_group(name, a.loads[how], b.loads[how], rules))
    for how in filter(b.blocked.__contains__, a.blocked):
        one, other = a.blocked[how], b.blocked[how]
        rows = (blocked_row(one, other),)
        groups.append(Group(name, f"probe: {how}", len(one), len(other), rows))
    if a.capacities and b.capacities:
        rows = (capacity_row(a.capacities, b.capacities),)
        groups.append(Group(name, "capacity", len(a.capacities), len(b.capacities), rows))
    return groups, [*_alone("A", name, a, b), *_alone("B", name, b, a)]


def _alone(side: str, name: str, one: SideMeasurements, other: SideMeasurements) -> list[str]:
    """What only one side of a test has."""
    titles = [
        load_title(runs[0].result) for how, runs in one.loads.items() if how not in other.loads
    ]
    titles += [f"probe: {how}" for how in one.blocked if how not in other.blocked]
    titles += ["capacity"] if one.capacities and not other.capacities else []
    return [f"only in {side}: {name}: {title}" for title in titles]


def _plan_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Such as `users: 5 in A, 50 in B`."""
    first, second = json.loads(next(iter(a))), json.loads(next(iter(b)))
    return "; ".join(
        f"{name}: {json.dumps(first.get(name))} in A, {json.dumps(second.get(name))} in B"
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    )


# Where the results come from


def _environments(a: Sequence[RunRecord], b: Sequence[RunRecord]) -> list[str]:
    """What differs between the machines and versions of the sides."""
    facts = []
    for side in (a, b):
        values: dict[str, set[str]] = {}
        for run in side:
            for name, value in _facts(run.environment):
                values.setdefault(name, set()).add(value)
        facts.append(values)
    names = dict.fromkeys([*facts[0], *facts[1]])
    return [
        f"{name} differs: {_values(facts[0], name)} in A, {_values(facts[1], name)} in B"
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    ] + [
        f"{name} differs within {side}: {_values(values, name)}"
        for side, values in zip("AB", facts, strict=True)
        for name in values
        if len(values[name]) > 1 and facts[0].get(name) == facts[1].get(name)
    ]


def _values(facts: Mapping[str, set[str]], name: str) -> str:
    return " or ".join(sorted(facts[name])) if name in facts else "none"


def _facts(environment: Mapping[str, Any], where: str = "") -> list[tuple[str, str]]:
    """The facts that a comparison depends on, as (name, value)."""
    names = ("os", "cpu", "cores", "memory_bytes", "python", "pytest_winserve")
    found = [(f"{where}{n}", str(environment[n])) for n in names if environment.get(n) is not None]
    versions = environment.get("versions", {}) | environment.get("lent", {})
    for name, version in versions.items():
        found.append((f"{where}version of {name}", str(version)))
    for host, machine in environment.get("machines", {}).items():
        found += _facts(machine, f"{host}: ")
    return found
