"""The article's tables (tsung's form) from a result, and how they print numbers.

The columns have tsung's names, and there are two variants. In ours the first and the last window
count too (tsung's report leaves one of them out of most columns), and `mean_rate` is count over
elapsed where tsung takes the unweighted mean of its window rates, in which a last window of 2 s
weighs like 10 s. The other one is by tsung's own definitions, to be held against a report of tsung.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_winserve.load.measures.outcomes import is_status
from pytest_winserve.load.results.shares import Second
from pytest_winserve.load.results.tsung_report import Block, Counter, Line, Row, Sample, report_of

WINDOW = 10
"""Seconds of one window, as tsung's."""
SHORTEST = 5
"""Seconds that the last window must have to stand alone."""


def tsung_tables(
    timeline: Sequence[Second], outcomes: Mapping[str, int], elapsed: float
) -> dict[str, Any]:
    """{"rows": {name: six columns}, "codes": {status: ...}, "errors": {outcome: ...}, "as_tsung":
    the same three as `tsung_stats.pl` would make them of this load, see `as_tsung`}.

    Rows are connect, page, request and session; times in seconds, rates per second. Every page has
    one request, so both rows are equal. Windows are 10 s long from the start. What is left of
    `elapsed` is the last one if it is at least 5 s long and else belongs to the one before: the
    answers of the last moments over a tiny window would be a huge rate. Rates use a window's true
    length. `session` has the users that ended by
    themselves: all of a plan with a count, every arrival of the open model, none of a closed plan
    that its duration cut (count 0, other cells None). With journeys it has their passes, complete
    or broken off. Errors carry our names of outcomes.
    """
    windows = _windows(timeline, elapsed)
    request = _row(windows, elapsed, "total")
    rows = {
        "connect": _row(windows, elapsed, "connect"),
        "page": dict(request),
        "request": request,
        "session": _row(windows, elapsed, "session"),
    }
    codes: dict[str, dict[str, float | int | None]] = {}
    errors: dict[str, dict[str, float | int | None]] = {}
    for outcome, total in sorted(outcomes.items()):
        peak = max(
            (
                sum(s.outcomes.get(outcome, 0) for s in window) / length
                for window, length in windows
            ),
            default=None,
        )
        if is_status(outcome):
            mean_rate = total / elapsed if elapsed > 0 else None
            codes[outcome] = {"highest_rate": peak, "mean_rate": mean_rate, "total": total}
        else:
            errors[outcome] = {"highest_rate": peak, "total": total}
    return {
        "rows": rows,
        "codes": codes,
        "errors": errors,
        "as_tsung": as_tsung(timeline, outcomes, elapsed),
    }


def as_tsung(
    timeline: Sequence[Second], outcomes: Mapping[str, int], elapsed: float
) -> dict[str, Any]:
    """The tables by tsung's definitions, from what tsung's log would hold of this load.

    Windows end every 10 s and, the last one, with the load, in whole seconds. The first is in no
    column but totals; `mean` and `count` leave the last one out; what occurs in the first one only
    has no row, and so has nothing a load of one window.
    """
    report = report_of(_as_blocks(timeline, outcomes, elapsed))
    rows = {
        name: {
            "highest_10sec_mean": _seconds(row.highest_mean),
            "lowest_10sec_mean": _seconds(row.lowest_mean),
            "highest_rate": row.highest_rate,
            "mean_rate": row.mean_rate,
            "mean": _seconds(row.mean),
            "count": row.count,
        }
        for name, row in report.table("stats").items()
    }
    errors = report.table("error").items()
    return {
        "rows": rows,
        "codes": {
            name: {**_counted(row), "mean_rate": row.mean_rate}
            for name, row in report.table("http_status").items()
        },
        "errors": {name.removeprefix(_ERROR): _counted(row) for name, row in errors},
    }


_SAMPLES = {"connect": "connect", "page": "total", "request": "total", "session": "session"}
_ERROR = "error_"


def _counted(row: Row) -> dict[str, float | int | None]:
    return {"highest_rate": row.highest_rate, "total": row.highest_mean}


def _seconds(ms: float | None) -> float | None:
    # The script takes a stored 0 for nothing, and prints an empty cell.
    return ms / 1000 if ms else None


def _as_blocks(
    timeline: Sequence[Second], outcomes: Mapping[str, int], elapsed: float
) -> Iterator[Block]:
    """What tsung would have written into its log, from the names' first occurrence on.

    The windows' deviations and extremes are left at 0, since no column is made of them.
    """
    before = dict.fromkeys(_SAMPLES, (0, 0.0))
    totals: dict[str, int] = {}
    for begin in range(0, len(timeline), WINDOW):
        window = timeline[begin : begin + WINDOW]
        is_last = begin + WINDOW >= len(timeline)
        lines: list[Line] = []
        for name, column in _SAMPLES.items():
            n: int = sum(getattr(second, f"{column}_count") for second in window)
            ms: float = 1000 * sum(getattr(second, f"{column}_sum") for second in window)
            known, sum_ms = before[name]
            if n or known:
                mean, mean_before = ms / n if n else 0, sum_ms / known if known else 0
                lines.append(Sample(name, n, mean, 0, 0, 0, mean_before, known))
            before[name] = known + n, sum_ms + ms
        for outcome in sorted(outcomes):
            now = sum(second.outcomes.get(outcome, 0) for second in window)
            totals[outcome] = totals.get(outcome, 0) + now
            if totals[outcome]:
                name = outcome if is_status(outcome) else _ERROR + outcome
                lines.append(Counter(name, now, totals[outcome]))
        end = max(begin, round(elapsed)) if is_last else begin + WINDOW
        yield Block(end, tuple(lines))


def _windows(timeline: Sequence[Second], elapsed: float) -> list[tuple[Sequence[Second], float]]:
    """The seconds of each window and its length in seconds."""
    if not timeline:
        return []
    begins = list(range(0, len(timeline), WINDOW))
    if len(begins) > 1 and elapsed - begins[-1] < SHORTEST:
        begins.pop()
    windows: list[tuple[Sequence[Second], float]] = []
    for begin, end in zip(begins, [*begins[1:], len(timeline)], strict=True):
        # The last second rarely lasts one; never nothing, even where clocks were rounded.
        length = elapsed - begin if end == len(timeline) else float(WINDOW)
        windows.append((timeline[begin:end], length if length > 0 else float(end - begin)))
    return windows


def _row(
    windows: Iterable[tuple[Sequence[Second], float]], elapsed: float, name: str
) -> dict[str, float | int | None]:
    means: list[float] = []
    rates: list[float] = []
    count, total = 0, 0.0
    for window, length in windows:
        n: int = sum(getattr(second, f"{name}_count") for second in window)
        seconds: float = sum(getattr(second, f"{name}_sum") for second in window)
        if n:
            means.append(seconds / n)
        rates.append(n / length)
        count, total = count + n, total + seconds
    return {
        "highest_10sec_mean": max(means, default=None),
        "lowest_10sec_mean": min(means, default=None),
        "highest_rate": max(rates) if count else None,
        "mean_rate": count / elapsed if count and elapsed > 0 else None,
        "mean": total / count if count else None,
        "count": count,
    }
