"""The article's tables (tsung's form) from a result, and how they print numbers.

The columns have tsung's names. What differs, on purpose: the first and the last window count too
(tsung's report leaves one of them out of most columns), and `mean_rate` is count / elapsed where
tsung takes the unweighted mean of its window rates, in which a last window of 2 s weighs like 10 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_winserve.load.result import Result, Second

WINDOW = 10
"""Seconds of one window, as tsung's."""
SHORTEST = 5
"""Seconds that the last window must have to stand alone."""


def tsung_tables(result: Result) -> dict[str, Any]:
    """{"rows": {name: six columns}, "codes": {status: ...}, "errors": {outcome: ...}}.

    Rows are connect, page, request and session; times in seconds, rates per second. Every page has
    one request, so both rows are equal. Windows are 10 s long from the start. What is left of
    `elapsed` is the last one if it is at least 5 s long and else belongs to the one before: the
    answers of the last moments over a tiny window would be a huge rate. Rates use a window's true
    length. `session` has the users that ended by
    themselves: all of a plan with a count, every arrival of the open model, none of a closed plan
    that its duration cut (count 0, other cells None). Errors carry our names of outcomes.
    """
    windows = _windows(result)
    request = _row(result, windows, "total")
    rows = {
        "connect": _row(result, windows, "connect"),
        "page": dict(request),
        "request": request,
        "session": _row(result, windows, "session"),
    }
    codes: dict[str, dict[str, float | int | None]] = {}
    errors: dict[str, dict[str, float | int | None]] = {}
    for outcome, total in sorted(result.outcomes.items()):
        peak = max(
            (
                sum(s.outcomes.get(outcome, 0) for s in window) / length
                for window, length in windows
            ),
            default=None,
        )
        if outcome.isdigit():
            mean_rate = total / result.elapsed if result.elapsed > 0 else None
            codes[outcome] = {"highest_rate": peak, "mean_rate": mean_rate, "total": total}
        else:
            errors[outcome] = {"highest_rate": peak, "total": total}
    return {"rows": rows, "codes": codes, "errors": errors}


def _windows(result: Result) -> list[tuple[Sequence[Second], float]]:
    """The seconds of each window and its length in seconds."""
    timeline, elapsed = result.timeline, result.elapsed
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
    result: Result, windows: Iterable[tuple[Sequence[Second], float]], name: str
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
        "mean_rate": count / result.elapsed if count and result.elapsed > 0 else None,
        "mean": total / count if count else None,
        "count": count,
    }


def format_duration(seconds: float | None) -> str:
    """As tsung prints times: 0.385 msec, 34.30 msec, 0.39 sec, 1mn 24sec, 1h 2mn 3sec; None: -."""
    if seconds is None:
        return "-"
    ms = seconds * 1000
    if ms < 1:
        return f"{ms:.3f} msec"
    if ms < 100:
        return f"{ms:.2f} msec"
    if seconds < 60:
        return f"{seconds:.2f} sec"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}mn {rest}sec"
    return f"{minutes // 60}h {minutes % 60}mn {rest}sec"


def format_rate(rate: float | None) -> str:
    """Per second with at most two digits, as `356.6 / sec`; None: -."""
    if rate is None:
        return "-"
    return f"{rate:.2f}".rstrip("0").rstrip(".") + " / sec"
