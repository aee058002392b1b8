"""The verdicts: is B better or worse than A, or the same, in each measure?

The unit is the run, never the request: the requests of one run share its luck, so that any two runs
differ "significantly" by them. A measure that scatters from run to run is better, worse or the same
only when the interval over runs says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pytest_winserve.compare.comparison import (
    ComparedLoad,
    ComparisonRules,
    Group,
    MeasureKind,
    MeasureRow,
    MeasureVerdict,
)
from pytest_winserve.load.measures.histogram import RELATIVE_ERROR
from pytest_winserve.load.measures.intervals import (
    MOST_RUNS,
    Interval,
    difference,
    paired_difference,
    runs_needed,
    share_difference,
)
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.findings import load_title
from pytest_winserve.report.numbers import NOT_MEASURED, QUANTILES, percent, plural

ORDINARY_SCATTER = 0.05
"""By how much runs are taken to differ where a single one cannot tell."""

_OPPOSITE: Mapping[MeasureVerdict, MeasureVerdict] = {
    "better": "worse",
    "worse": "better",
    "same": "same",
    "inconclusive": "inconclusive",
}


# A load


def load_group(
    name: str, a: Sequence[ComparedLoad], b: Sequence[ComparedLoad], rules: ComparisonRules
) -> Group:
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


def _unusable(result: Result, rules: ComparisonRules) -> str:
    """Why the numbers of a run are not the server's; empty when they are."""
    return result.broken or ("" if rules.allow_limited else result.limited)


def _pairs(
    a: Sequence[ComparedLoad], b: Sequence[ComparedLoad]
) -> tuple[list[ComparedLoad], list[ComparedLoad]] | None:
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
        """What `of` measures in each run of A and of B, and in how many runs nothing."""
        values = [[of(result) for result in side] for side in (self.a, self.b)]
        a, b = ([value for value in side if value is not None] for side in values)
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


def _load_rows(sides: _Sides, rules: ComparisonRules) -> list[MeasureRow]:
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
    kind: MeasureKind,
    sides: _Sides,
    of: Callable[[Result], float | None],
    rules: ComparisonRules,
    resolution: float = 0.0,
) -> MeasureRow:
    """A row for what is compared by its ratio. `resolution` is how much too high a value may be."""
    a, b, unmeasured = sides.values(of)
    positive = all(value > 0 for value in (*a, *b))
    means = [_geometric(side) if positive else _mean(side) for side in (a, b)]
    if unmeasured or not a or not b:
        return MeasureRow(
            measure, kind, means[0], means[1], "inconclusive", note=_unmeasured(sides, unmeasured)
        )
    if not positive:
        return MeasureRow(measure, kind, means[0], means[1], "inconclusive",
                   note="a run has 0, which has no ratio")  # fmt: skip
    logs_a, logs_b = ([math.log(value) for value in side] for side in (a, b))
    interval = sides.interval(logs_a, logs_b)
    if interval is None:
        return MeasureRow(
            measure, kind, means[0], means[1], "inconclusive", note="one run has no scatter"
        )
    interval = interval.widened(math.log1p(resolution))
    bound = math.log1p(rules.margin)
    verdict = _decide(interval, bound, higher_is_better=kind == "rate")
    note = ""
    if verdict == "inconclusive":
        half = abs(abs(fmean(logs_b) - fmean(logs_a)) - bound) - math.log1p(resolution)
        note = sides.needed(logs_a, logs_b, half)
        if 0 not in interval:
            surely = "higher" if interval.low > 0 else "lower"
            note = f"surely {surely}, but not surely by more than the margin; {note}"
    change = Interval(math.exp(interval.low), math.exp(interval.high))
    return MeasureRow(measure, kind, means[0], means[1], verdict, change, note)


def _error_row(sides: _Sides, rules: ComparisonRules) -> MeasureRow:
    a, b, unmeasured = sides.values(lambda result: result.error_rate)
    if unmeasured or not a or not b:
        note = _unmeasured(sides, unmeasured)
        return MeasureRow("error rate", "share", _mean(a), _mean(b), "inconclusive", note=note)
    over_runs = sides.interval(a, b)
    if over_runs is None:
        note = "one run has no scatter"
        return MeasureRow("error rate", "share", _mean(a), _mean(b), "inconclusive", note=note)
    # Runs without an error do not scatter, and yet the next request could fail.
    counts = [
        (sum(r.errors for r in side), sum(r.sent for r in side)) for side in (sides.a, sides.b)
    ]
    interval = over_runs.joined(share_difference(counts[0], counts[1]))
    verdict = _decide(interval, rules.error_margin, higher_is_better=False)
    note = ""
    if verdict == "inconclusive":
        half = abs(abs(fmean(b) - fmean(a)) - rules.error_margin)
        wide = interval.high - interval.low > over_runs.high - over_runs.low
        note = (
            f"{plural(counts[0][1] + counts[1][1], 'request')} are too few to tell"
            if wide
            else sides.needed(a, b, half)
        )
    return MeasureRow("error rate", "share", fmean(a), fmean(b), verdict, interval, note)


def _decide(interval: Interval, bound: float, *, higher_is_better: bool) -> MeasureVerdict:
    """Same within the bound, better or worse beyond it: each only when the whole interval is."""
    if -bound <= interval.low and interval.high <= bound:
        return "same"
    if interval.low > bound:
        return "better" if higher_is_better else "worse"
    if interval.high < -bound:
        return "worse" if higher_is_better else "better"
    return "inconclusive"


def _against(row: MeasureRow, errors: MeasureRow) -> MeasureRow:
    """The row; undecided where its error rate says the opposite, because failing is fast."""
    if errors.verdict in {"better", "worse"} and row.verdict == _OPPOSITE[errors.verdict]:
        note = f"answers are {row.verdict}, but the error rate is {errors.verdict}"
        return MeasureRow(row.measure, row.kind, row.a, row.b, "inconclusive", row.change, note)
    return row


def _unmeasured(sides: _Sides, unmeasured: int) -> str:
    runs = len(sides.a) + len(sides.b)
    if not sides.a or not sides.b:
        return "no usable run on " + " and ".join(
            name for name, side in (("A", sides.a), ("B", sides.b)) if not side
        )
    return f"{NOT_MEASURED} in {unmeasured} of {plural(runs, 'run')}"


def _too_few(sides: _Sides, rules: ComparisonRules) -> str:
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


def _unaccounted_row(a: Sequence[Result], b: Sequence[Result]) -> list[MeasureRow]:
    """What the ledgers cannot explain, the worst run of each side."""
    counts = [
        [r.ledger.unaccounted for r in side if r.ledger and r.ledger.unaccounted is not None]
        for side in (a, b)
    ]
    if not counts[0] and not counts[1]:
        return []
    worst = [max(side, default=None) for side in counts]
    if worst[0] is None or worst[1] is None:
        side = "A" if worst[0] is None else "B"
        note = f"{NOT_MEASURED} in {side}"
        return [MeasureRow("unaccounted", "count", worst[0], worst[1], "inconclusive", note=note)]
    verdict: MeasureVerdict = "same"
    if worst[0] != worst[1]:
        verdict = "worse" if worst[1] > worst[0] else "better"
    return [MeasureRow("unaccounted", "count", worst[0], worst[1], verdict)]


def blocked_row(a: Sequence[Interval], b: Sequence[Interval]) -> MeasureRow:
    """The shares of blocked fast requests; the worst is shown."""
    verdict, note = _decide_exact(a, b, higher_is_better=False)
    worst = [max(each.high for each in side) for side in (a, b)]
    return MeasureRow("blocked", "blocked", worst[0], worst[1], verdict, note=note)


def capacity_row(a: Sequence[Interval], b: Sequence[Interval]) -> MeasureRow:
    """How many requests run at once; without an upper end where only a lower bound is known."""
    verdict, note = _decide_exact(a, b, higher_is_better=True)
    worst = [min(side, key=lambda each: (each.low, each.high)) for side in (a, b)]
    return MeasureRow(
        "capacity", "count", worst[0].low, worst[1].low, verdict, note=note,
        bound_a=math.isinf(worst[0].high), bound_b=math.isinf(worst[1].high),
    )  # fmt: skip


def _decide_exact(
    a: Sequence[Interval], b: Sequence[Interval], *, higher_is_better: bool
) -> tuple[MeasureVerdict, str]:
    """For what one measurement tells; where measurements of a side differ, or have only a lower
    bound, it is decided when all of one side lie beyond all of the other."""
    if len({*a, *b}) == 1:
        return "same", ""
    if min(each.low for each in b) > max(each.high for each in a):
        return ("better" if higher_is_better else "worse"), ""
    if max(each.high for each in b) < min(each.low for each in a):
        return ("worse" if higher_is_better else "better"), ""
    return "inconclusive", "measured differently from run to run, or only as a lower bound"
