"""Two sides of results held against each other, with a verdict for each measure.

The unit is the run, never the request: the requests of one run share its luck, so that any two runs
differ "significantly" by them. A measure that scatters from run to run is better, worse or the same
only when the interval over runs says so.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

from pytest_winserve.errors import UsageError
from pytest_winserve.load.histogram import RELATIVE_ERROR
from pytest_winserve.load.intervals import (
    MOST_RUNS,
    Interval,
    difference,
    paired_difference,
    runs_needed,
    share_difference,
)
from pytest_winserve.load.result import Result
from pytest_winserve.report.view import (
    NOT_MEASURED,
    QUANTILES,
    load_title,
    percent,
    plural,
    read_result,
)

Verdict = Literal["better", "same", "worse", "inconclusive"]
Kind = Literal["rate", "time", "share", "blocked", "count"]

ORDINARY_SCATTER = 0.05
"""By how much runs are taken to differ where a single one cannot tell."""

_OPPOSITE: Mapping[Verdict, Verdict] = {
    "better": "worse",
    "worse": "better",
    "same": "same",
    "inconclusive": "inconclusive",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as the same: a ratio from 1 / (1 + margin) to 1 + margin, and a difference of
    error rates of at most `error_margin` (a share). `allow_limited` takes in runs whose load
    generator was the limit. UsageError for margins that cannot be."""

    margin: float = 0.05
    error_margin: float = 0.001
    allow_limited: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.margin <= 1:
            raise UsageError(f"margin={self.margin:g}: more than 0% and at most 100% is needed")
        if not 0 < self.error_margin < 1:
            raise UsageError(
                f"error margin={self.error_margin:g}: more than 0% and less than 100% is needed"
            )


@dataclass(frozen=True, slots=True)
class Row:
    """One measure: the values of both sides (None: not measured), what became of it, and why.

    `kind` "rate" is per second, "time" seconds, "share" and "blocked" a share of 1, "count" a
    number. `change` is B/A with its interval for rates and times, B - A for a share; None where
    there is no interval. `bound_a`, `bound_b`: the value is a lower bound.
    """

    measure: str
    kind: Kind
    a: float | None
    b: float | None
    verdict: Verdict
    change: Interval | None = None
    note: str = ""
    bound_a: bool = False
    bound_b: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What both sides measured alike: the test, how (a plan, a probe), and how often."""

    name: str
    what: str
    runs_a: int
    runs_b: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The groups, and `notes` on what differs between the sides or is on one side only."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    one_sided: int

    def having(self, verdict: Verdict) -> list[tuple[Group, Row]]:
        """The rows with this verdict."""
        return [(group, row) for group in self.groups for row in group.rows
                if row.verdict == verdict]  # fmt: skip

    def failed(self, *, strict: bool) -> bool:
        """Whether something is worse; when `strict` also whether something is undecided or on one
        side only."""
        undecided = bool(self.having("inconclusive")) or self.one_sided > 0
        return bool(self.having("worse")) or (strict and undecided)


@dataclass(slots=True)
class _Measured:
    """What one side measured in one test on one site."""

    loads: dict[str, list[_Run]] = field(default_factory=dict)
    blocked: dict[str, list[Interval]] = field(default_factory=dict)
    capacities: list[Interval] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loads or self.blocked or self.capacities)


@dataclass(frozen=True, slots=True)
class _Run:
    result: Result
    pair: int | None


@dataclass(frozen=True, slots=True)
class _Key:
    test: str
    topology: str
    host: str
    app: str

    def __str__(self) -> str:
        return f"{self.test}: {self.topology} on {self.host}, {self.app}"


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


def _collect(tests: Iterable[Mapping[str, Any]]) -> dict[_Key, _Measured]:
    found: dict[_Key, _Measured] = {}
    for test in tests:
        key = _Key(test["nodeid"], test["topology"], test["host"], test["app"])
        try:
            _add(found.setdefault(key, _Measured()), test)
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a measurement of {test['nodeid']} cannot be read: {error!r}"
            ) from error
    return {key: measured for key, measured in found.items() if measured}


def _add(measured: _Measured, test: Mapping[str, Any]) -> None:
    for raw in test["results"]:
        result = read_result(test["nodeid"], raw)
        how = json.dumps({"engine": result.engine, **result.plan.to_dict()}, sort_keys=True)
        measured.loads.setdefault(how, []).append(_Run(result, test.get("pair")))
    for verdict in test["verdicts"]:
        sleepers = plural(verdict["sleepers"], "slow request")
        how = f"{verdict['fast']} during {sleepers} to {verdict['slow']}"
        share = float(verdict["blocked_fraction"])
        measured.blocked.setdefault(how, []).append(Interval(share, share))
    for capacity in test["capacities"]:
        low = float(capacity["value"])
        measured.capacities.append(Interval(low, math.inf if capacity["at_least"] else low))


def _compare(
    a: Mapping[_Key, _Measured], b: Mapping[_Key, _Measured], notes: list[str], rules: Rules
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


def _nothing_in_common(a: Mapping[_Key, _Measured], b: Mapping[_Key, _Measured]) -> str:
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


def _groups(key: _Key, a: _Measured, b: _Measured, rules: Rules) -> tuple[list[Group], list[str]]:
    """The groups of one test, and what only one side of it has."""
    groups: list[Group] = []
    name = f"{key.test}: {key.topology} on {key.host}" + (f", {key.app}" if key.app else "")
    if a.loads and b.loads and not a.loads.keys() & b.loads.keys():
        raise UsageError(f"{name}: the plans differ, {_plan_difference(a.loads, b.loads)}; "
                         "compare loads of one plan")  # fmt: skip
    for how in filter(b.loads.__contains__, a.loads):
        groups.append(_load_group(name, a.loads[how], b.loads[how], rules))
    for how in filter(b.blocked.__contains__, a.blocked):
        one, other = a.blocked[how], b.blocked[how]
        rows = (_blocked_row(one, other),)
        groups.append(Group(name, f"probe: {how}", len(one), len(other), rows))
    if a.capacities and b.capacities:
        rows = (_capacity_row(a.capacities, b.capacities),)
        groups.append(Group(name, "capacity", len(a.capacities), len(b.capacities), rows))
    return groups, [*_alone("A", name, a, b), *_alone("B", name, b, a)]


def _alone(side: str, name: str, one: _Measured, other: _Measured) -> list[str]:
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


# A load


def _load_group(name: str, a: Sequence[_Run], b: Sequence[_Run], rules: Rules) -> Group:
    notes = []
    for side, runs in (("A", a), ("B", b)):
        reasons = Counter(filter(None, (_unusable(run.result, rules) for run in runs)))
        notes += [
            f"{n} of {plural(len(runs), 'run')} of {side} left out: {why}"
            for why, n in reasons.items()
        ]
    usable = [[run for run in side if not _unusable(run.result, rules)] for side in (a, b)]
    paired = _pairs(*usable)
    if paired is not None:
        usable = [*paired]
        notes.append(f"compared in {plural(len(paired[0]), 'pair')}, as they were run")
    one, other = ([run.result for run in side] for side in usable)
    sides = _Sides(one, other, paired is not None)
    rows = _load_rows(sides, rules)
    notes += _small(sides)
    if rows and sides.fewest < 2:
        notes.append(_too_few(sides, rules))
    whole = [[run.result for run in side if not run.result.broken] for side in (a, b)]
    counts = _unaccounted_row(whole[0], whole[1])
    title = load_title(a[0].result)
    return Group(name, title, len(a), len(b), (*rows, *counts), tuple(notes))


def _unusable(result: Result, rules: Rules) -> str:
    """Why the numbers of a run are not the server's; empty when they are."""
    return result.broken or ("" if rules.allow_limited else result.limited)


def _pairs(a: Sequence[_Run], b: Sequence[_Run]) -> tuple[list[_Run], list[_Run]] | None:
    """Both sides in the order of their pairs; None when they were not run in pairs."""
    one, other = ({run.pair: run for run in side} for side in (a, b))
    if None in one or None in other or len(one) < len(a) or len(other) < len(b):
        return None
    both = sorted(pair for pair in one.keys() & other.keys() if pair is not None)
    return ([one[pair] for pair in both], [other[pair] for pair in both]) if both else None


@dataclass(frozen=True, slots=True)
class _Sides:
    """The usable runs of both sides; of equal number and order when `paired`."""

    a: Sequence[Result]
    b: Sequence[Result]
    paired: bool

    @property
    def fewest(self) -> int:
        return min(len(self.a), len(self.b))

    def values(self, of: Callable[[Result], float | None]) -> tuple[list[float], list[float], int]:
        """What `of` tells of each run of A and of B, and how many runs it tells nothing of."""
        told = [[of(result) for result in side] for side in (self.a, self.b)]
        a, b = ([value for value in side if value is not None] for side in told)
        return a, b, len(self.a) + len(self.b) - len(a) - len(b)

    def interval(self, a: Sequence[float], b: Sequence[float]) -> Interval | None:
        """Of the difference of the means, B - A."""
        return paired_difference(a, b) if self.paired else difference(a, b)

    def needed(self, a: Sequence[float], b: Sequence[float], half_width: float) -> str:
        """How many runs would give an interval of that half width, in words; empty: unknown."""
        if self.paired:
            spread = stdev([y - x for x, y in zip(a, b, strict=True)])
        else:
            spread = math.sqrt((stdev(a) ** 2 + stdev(b) ** 2) / 2)
        runs = runs_needed(spread, half_width, paired=self.paired) if half_width > 0 else None
        if runs is None:
            return f"more than {MOST_RUNS} runs per side would be needed"
        # The interval may be as narrow as that already and lie across the bound all the same.
        runs = max(runs, self.fewest + 1)
        return f"about {runs} runs per side would be needed"


def _load_rows(sides: _Sides, rules: Rules) -> list[Row]:
    """Rate, times and error rate; times and rates are not believed against the error rate."""
    errors = _error_row(sides, rules)
    rows = [_ratio_row("rate", "rate", sides, lambda r: r.rate, rules)]
    if not any("total" in result.unmeasured for result in (*sides.a, *sides.b)):
        rows.append(_ratio_row("mean", "time", sides, lambda r: r.total.mean, rules))
        rows += [
            _ratio_row(f"p{q:g}", "time", sides, _percentile(q), rules, RELATIVE_ERROR)
            for q in QUANTILES
            if _enough(sides, q)
        ]
    return [*(_against(row, errors) for row in rows), errors]


def _percentile(q: float) -> Callable[[Result], float | None]:
    return lambda result: result.percentile(q)


def _enough(sides: _Sides, q: float) -> bool:
    """Whether every run that has answers has enough of them for this percentile."""
    answered = [r.total for r in (*sides.a, *sides.b) if r.total.count]
    return bool(answered) and all(each.enough_for(q) for each in answered)


def _small(sides: _Sides) -> list[str]:
    """Which percentiles are not shown, and why."""
    counts = [r.total.count for r in (*sides.a, *sides.b) if r.total.count]
    hidden = [q for q in QUANTILES if counts and not _enough(sides, q)]
    return [
        f"p{q:g} is not shown: n small, a run has {plural(min(counts), 'answer')} and "
        f"{math.ceil(1000 / (100 - q))} are needed"
        for q in hidden
    ]


def _ratio_row(
    measure: str,
    kind: Kind,
    sides: _Sides,
    of: Callable[[Result], float | None],
    rules: Rules,
    resolution: float = 0.0,
) -> Row:
    """A row for what is compared by its ratio. `resolution` is how much too high a value may be."""
    a, b, untold = sides.values(of)
    positive = all(value > 0 for value in (*a, *b))
    means = [_geometric(side) if positive else _mean(side) for side in (a, b)]
    if untold or not a or not b:
        return Row(measure, kind, means[0], means[1], "inconclusive", note=_untold(sides, untold))
    if not positive:
        return Row(measure, kind, means[0], means[1], "inconclusive",
                   note="a run has 0, which has no ratio")  # fmt: skip
    logs_a, logs_b = ([math.log(value) for value in side] for side in (a, b))
    found = sides.interval(logs_a, logs_b)
    if found is None:
        return Row(measure, kind, means[0], means[1], "inconclusive", note="one run has no scatter")
    found = found.widened(math.log1p(resolution))
    bound = math.log1p(rules.margin)
    verdict = _decide(found, bound, higher_is_better=kind == "rate")
    note = ""
    if verdict == "inconclusive":
        half = abs(abs(fmean(logs_b) - fmean(logs_a)) - bound) - math.log1p(resolution)
        note = sides.needed(logs_a, logs_b, half)
        if 0 not in found:
            surely = "higher" if found.low > 0 else "lower"
            note = f"surely {surely}, but not surely by more than the margin; {note}"
    change = Interval(math.exp(found.low), math.exp(found.high))
    return Row(measure, kind, means[0], means[1], verdict, change, note)


def _error_row(sides: _Sides, rules: Rules) -> Row:
    a, b, untold = sides.values(lambda result: result.error_rate)
    if untold or not a or not b:
        note = _untold(sides, untold)
        return Row("error rate", "share", _mean(a), _mean(b), "inconclusive", note=note)
    over_runs = sides.interval(a, b)
    if over_runs is None:
        note = "one run has no scatter"
        return Row("error rate", "share", _mean(a), _mean(b), "inconclusive", note=note)
    # Runs without an error do not scatter, and yet the next request could fail.
    counts = [
        (sum(r.errors for r in side), sum(r.sent for r in side)) for side in (sides.a, sides.b)
    ]
    found = over_runs.joined(share_difference(counts[0], counts[1]))
    verdict = _decide(found, rules.error_margin, higher_is_better=False)
    note = ""
    if verdict == "inconclusive":
        half = abs(abs(fmean(b) - fmean(a)) - rules.error_margin)
        wide = found.high - found.low > over_runs.high - over_runs.low
        note = (
            f"{plural(counts[0][1] + counts[1][1], 'request')} are too few to tell"
            if wide
            else sides.needed(a, b, half)
        )
    return Row("error rate", "share", fmean(a), fmean(b), verdict, found, note)


def _decide(found: Interval, bound: float, *, higher_is_better: bool) -> Verdict:
    """Same within the bound, better or worse beyond it: each only when the whole interval is."""
    if -bound <= found.low and found.high <= bound:
        return "same"
    if found.low > bound:
        return "better" if higher_is_better else "worse"
    if found.high < -bound:
        return "worse" if higher_is_better else "better"
    return "inconclusive"


def _against(row: Row, errors: Row) -> Row:
    """The row, without a verdict that its error rate gives the lie to: failing is fast."""
    if errors.verdict in {"better", "worse"} and row.verdict == _OPPOSITE[errors.verdict]:
        note = f"answers are {row.verdict}, but the error rate is {errors.verdict}"
        return Row(row.measure, row.kind, row.a, row.b, "inconclusive", row.change, note)
    return row


def _untold(sides: _Sides, untold: int) -> str:
    runs = len(sides.a) + len(sides.b)
    if not sides.a or not sides.b:
        return "no usable run on " + " and ".join(
            name for name, side in (("A", sides.a), ("B", sides.b)) if not side
        )
    return f"{NOT_MEASURED} in {untold} of {plural(runs, 'run')}"


def _too_few(sides: _Sides, rules: Rules) -> str:
    wanted = runs_needed(ORDINARY_SCATTER, math.log1p(rules.margin), paired=False)
    enough = f"{wanted}" if wanted else f"more than {MOST_RUNS}"
    return (
        f"{plural(sides.fewest, 'run')} on a side cannot tell how runs differ: rates, times and "
        f"error rates stay inconclusive. Two runs per side are the least; where runs differ by "
        f"{percent(ORDINARY_SCATTER)}, about {enough} per side decide on a margin of "
        f"{percent(rules.margin)}"
    )


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _geometric(values: Sequence[float]) -> float | None:
    return math.exp(fmean(map(math.log, values))) if values else None


# What is exact


def _unaccounted_row(a: Sequence[Result], b: Sequence[Result]) -> list[Row]:
    """What the ledgers cannot explain, the worst run of each side."""
    told = [
        [r.ledger.unaccounted for r in side if r.ledger and r.ledger.unaccounted is not None]
        for side in (a, b)
    ]
    if not told[0] and not told[1]:
        return []
    worst = [max(side, default=None) for side in told]
    if worst[0] is None or worst[1] is None:
        side = "A" if worst[0] is None else "B"
        note = f"{NOT_MEASURED} in {side}"
        return [Row("unaccounted", "count", worst[0], worst[1], "inconclusive", note=note)]
    verdict: Verdict = "same"
    if worst[0] != worst[1]:
        verdict = "worse" if worst[1] > worst[0] else "better"
    return [Row("unaccounted", "count", worst[0], worst[1], verdict)]


def _blocked_row(a: Sequence[Interval], b: Sequence[Interval]) -> Row:
    """The shares of blocked fast requests; the worst is shown."""
    verdict, note = _decide_exact(a, b, higher_is_better=False)
    worst = [max(each.high for each in side) for side in (a, b)]
    return Row("blocked", "blocked", worst[0], worst[1], verdict, note=note)


def _capacity_row(a: Sequence[Interval], b: Sequence[Interval]) -> Row:
    """How many requests run at once; without an upper end where only a lower bound is known."""
    verdict, note = _decide_exact(a, b, higher_is_better=True)
    worst = [min(side, key=lambda each: (each.low, each.high)) for side in (a, b)]
    return Row(
        "capacity", "count", worst[0].low, worst[1].low, verdict, note=note,
        bound_a=math.isinf(worst[0].high), bound_b=math.isinf(worst[1].high),
    )  # fmt: skip


def _decide_exact(
    a: Sequence[Interval], b: Sequence[Interval], *, higher_is_better: bool
) -> tuple[Verdict, str]:
    """For what one measurement tells; where measurements of a side differ, or have only a lower
    bound, it is decided when all of one side lie beyond all of the other."""
    if len({*a, *b}) == 1:
        return "same", ""
    if min(each.low for each in b) > max(each.high for each in a):
        return ("better" if higher_is_better else "worse"), ""
    if max(each.high for each in b) < min(each.low for each in a):
        return ("worse" if higher_is_better else "better"), ""
    return "inconclusive", "measured differently from run to run, or only as a lower bound"


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
