"""Holds two sides against each other: what was measured the same way on both."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_winserve.compare.comparison import Comparison, Group, Key, Measured, Rules, Run
from pytest_winserve.compare.judging import blocked_row, capacity_row, load_group
from pytest_winserve.errors import UsageError
from pytest_winserve.load.measures.intervals import Interval
from pytest_winserve.report.blocks import read_result
from pytest_winserve.report.findings import load_title
from pytest_winserve.report.numbers import plural


def compare(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], rules: Rules
) -> Comparison:
    """Compare the contents of results files, one or more on each side.

    UsageError when a result is damaged, when the sides have nothing in common, and when a test of
    both sides sent loads by different plans or engines.
    """
    # Runs that were made in pairs are pairs of one file, and not of two.
    side_a, side_b = (
        _collect({**test, "pair": None} for data in side for test in data["tests"])
        for side in (a, b)
    )
    return _compare(side_a, side_b, _environments(a, b), rules)


def compare_sides(data: Mapping[str, Any], rules: Rules) -> Comparison:
    """Compare the sides A and B that `winserve compare` has run and written into one file.

    UsageError when the file has no such sides.
    """
    sides: dict[str, list[Mapping[str, Any]]] = {"A": [], "B": []}
    for test in data["tests"]:
        if test.get("side") in sides:
            sides[test["side"]].append(test)
    if not (sides["A"] and sides["B"]):
        raise UsageError(
            "the file has no sides A and B, as `winserve compare TOPOLOGY TOPOLOGY` writes them; "
            "name a second file to compare it with"
        )
    names = {side: _listed(test["topology"] for test in tests) for side, tests in sides.items()}
    both = f"A {names['A']}, B {names['B']}"
    side_a, side_b = (
        _collect({**test, "topology": both, "app": ""} for test in tests)
        for tests in sides.values()
    )
    return _compare(side_a, side_b, [], rules)


def _collect(tests: Iterable[Mapping[str, Any]]) -> dict[Key, Measured]:
    found: dict[Key, Measured] = {}
    for test in tests:
        key = Key(test["nodeid"], test["topology"], test["host"], test["app"])
        try:
            _add(found.setdefault(key, Measured()), test)
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a measurement of {test['nodeid']} cannot be read: {error!r}"
            ) from error
    return {key: measured for key, measured in found.items() if measured}


def _add(measured: Measured, test: Mapping[str, Any]) -> None:
    for raw in test["results"]:
        result = read_result(test["nodeid"], raw)
        how = json.dumps({"engine": result.engine, **result.plan.to_dict()}, sort_keys=True)
        measured.loads.setdefault(how, []).append(Run(result, test.get("pair")))
    for verdict in test["verdicts"]:
        sleepers = plural(verdict["sleepers"], "slow request")
        how = f"{verdict['fast']} during {sleepers} to {verdict['slow']}"
        share = float(verdict["blocked_fraction"])
        measured.blocked.setdefault(how, []).append(Interval(share, share))
    for capacity in test["capacities"]:
        low = float(capacity["value"])
        measured.capacities.append(Interval(low, math.inf if capacity["at_least"] else low))


def _compare(
    a: Mapping[Key, Measured], b: Mapping[Key, Measured], notes: list[str], rules: Rules
) -> Comparison:
    common = [key for key in a if key in b]
    if not common:
        raise UsageError(_nothing_in_common(a, b))
    single: list[str] = []
    for one, other, name in ((a, b, "A"), (b, a, "B")):
        single += [f"only in {name}: {key}" for key in one if key not in other]
    groups: list[Group] = []
    for key in common:
        found, alone = _groups(key, a[key], b[key], rules)
        groups += found
        single += alone
    if not groups:
        raise UsageError(
            f"the sides have {plural(len(common), 'test')} in common, but no measurement of one "
            f"kind on both: {_listed(single)}"
        )
    return Comparison(tuple(groups), (*notes, *single), len(single))


def _nothing_in_common(a: Mapping[Key, Measured], b: Mapping[Key, Measured]) -> str:
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
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _groups(key: Key, a: Measured, b: Measured, rules: Rules) -> tuple[list[Group], list[str]]:
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


def _alone(side: str, name: str, one: Measured, other: Measured) -> list[str]:
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
        f"{name}: {json.dumps(first[name])} in A, {json.dumps(second[name])} in B"
        for name in first
        if first[name] != second[name]
    )


# Where the results come from


def _environments(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[str]:
    """What differs between the machines and versions of the sides."""
    facts = []
    for side in (a, b):
        told: dict[str, set[str]] = {}
        for data in side:
            for name, value in _facts(data["environment"]):
                told.setdefault(name, set()).add(value)
        facts.append(told)
    names = dict.fromkeys([*facts[0], *facts[1]])
    return [
        f"{name} differs: {_said(facts[0], name)} in A, {_said(facts[1], name)} in B"
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    ] + [
        f"{name} differs within {side}: {_said(told, name)}"
        for side, told in zip("AB", facts, strict=True)
        for name in told
        if len(told[name]) > 1 and facts[0].get(name) == facts[1].get(name)
    ]


def _said(facts: Mapping[str, set[str]], name: str) -> str:
    return " or ".join(sorted(facts[name])) if name in facts else "none"


def _facts(environment: Mapping[str, Any], where: str = "") -> list[tuple[str, str]]:
    """The facts that a comparison depends on, as (name, value)."""
    names = ("os", "cpu", "cores", "memory_bytes", "python", "pytest_winserve")
    found = [(f"{where}{n}", str(environment[n])) for n in names if environment.get(n) is not None]
    for name, version in environment.get("versions", {}).items():
        found.append((f"{where}version of {name}", str(version)))
    for host, machine in environment.get("machines", {}).items():
        found += _facts(machine, f"{host}: ")
    return found
