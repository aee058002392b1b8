"""A comparison as text for a terminal: ASCII only, like the summary of a run."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from pytest_winserve.compare.comparison import (
    Comparison,
    ComparisonRules,
    Group,
    MeasureRow,
    MeasureVerdict,
)
from pytest_winserve.report.numbers import NOT_MEASURED, per_second, percent, plural, seconds
from pytest_winserve.report.terminal import clean, table

HEADER = ("measure", "A", "B", "B/A (95 % interval)", "verdict")
_ORDER: tuple[MeasureVerdict, ...] = ("worse", "better", "same", "inconclusive")


def render(comparison: Comparison, rules: ComparisonRules, *, width: int = 80) -> str:
    """The comparison in lines of at most `width` characters; ends with a newline."""
    lines: list[str] = []
    for group in comparison.groups:
        lines += [*_group(group, width), ""]
    for note in comparison.notes:
        lines += _wrapped(note, width, "", "  ")
    lines += _wrapped(
        f"same: the whole interval lies within {percent(rules.margin)} (error rate: "
        f"{_points(rules.error_margin)}); better or worse: all of it lies beyond.",
        width,
        "",
        "  ",
    )
    counts = {verdict: len(comparison.having(verdict)) for verdict in _ORDER}
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    lines += _wrapped(f"B against A: {verdicts}", width, "", "  ")
    for group, row in comparison.having("worse"):
        lines += _wrapped(f"WORSE: {row.measure} of {group.name}", width, "", "  ")
    return "".join(line + "\n" for line in lines)


def _group(group: Group, width: int) -> Iterator[str]:
    yield from _wrapped(group.name, width, "", "  ")
    runs = f"{plural(group.runs_a, 'run')} of A, {group.runs_b} of B"
    yield from _wrapped(f"{group.what}; {runs}", width, "  ", "    ")
    yield from table(HEADER, [_cells(row) for row in group.rows], width)
    for row in group.rows:
        if row.note:
            yield from _wrapped(f"{row.measure}: {row.note}", width, "  ", "    ")
    for note in group.notes:
        yield from _wrapped(note, width, "  ", "    ")


def _cells(row: MeasureRow) -> list[str]:
    shown = [
        ">= " * bound + _value(row, value)
        for value, bound in ((row.a, row.bound_a), (row.b, row.bound_b))
    ]
    verdict = row.verdict.upper() if row.verdict == "worse" else row.verdict
    return [row.measure, *shown, _change(row), verdict]


def _value(row: MeasureRow, value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    if row.kind == "rate":
        return per_second(value)
    if row.kind == "time":
        return seconds(value)
    return f"{value:g}" if row.kind == "count" else percent(value)


def _change(row: MeasureRow) -> str:
    if row.a is None or row.b is None:
        return "-"
    if row.kind == "share":
        centre = f"{(row.b - row.a) * 100:+.3g}"
        if row.change is None:
            return f"{centre} points"
        return f"{centre} points ({row.change.low * 100:+.3g} to {row.change.high * 100:+.3g})"
    if row.kind not in {"rate", "time"} or not row.a:
        return "-"
    if row.change is None:
        return f"{row.b / row.a:.3f}"
    return f"{row.b / row.a:.3f} ({row.change.low:.3f} to {row.change.high:.3f})"


def _points(share: float) -> str:
    return f"{share * 100:g} points"


def _wrapped(text: str, width: int, indent: str, more: str) -> list[str]:
    return wrap(clean(text), width, initial_indent=indent, subsequent_indent=more)
