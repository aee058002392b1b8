"""How a report writes numbers."""

from __future__ import annotations

from pytest_winserve.load.measures.histogram import Histogram

NOT_MEASURED = "not measured"
N_SMALL = "n small"

QUANTILES = (50.0, 95.0, 99.0)


# Numbers


def seconds(value: float | None) -> str:
    """A duration with three significant digits in the unit that suits it: `0.42 ms`, `1.20 s`."""
    if value is None:
        return NOT_MEASURED
    if value >= 100:
        return f"{value:.0f} s"
    if value >= 10:
        return f"{value:.1f} s"
    # 0.9995 s and more would print as 1000 ms.
    if value >= 0.9995:
        return f"{value:.2f} s"
    milliseconds = value * 1000
    if milliseconds >= 100:
        return f"{milliseconds:.0f} ms"
    if milliseconds >= 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.2f} ms"


def percent(fraction: float | None) -> str:
    """A share as per cent. Only 0 and 1 themselves print as `0 %` and `100 %`."""
    if fraction is None:
        return NOT_MEASURED
    value = fraction * 100
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def per_second(value: float | None) -> str:
    """A rate: `1203.4 /s`."""
    return NOT_MEASURED if value is None else f"{value:.1f} /s"


def plural(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def histogram_text(histogram: Histogram) -> str:
    """The quantiles of a histogram, see `quantile_text`."""
    if histogram.count == 0:
        return f"p50, p95, p99 and max {NOT_MEASURED}"
    parts = [f"p{q:g} {quantile_text(histogram, q)}" for q in QUANTILES]
    return ", ".join([*parts, f"max {seconds(histogram.max)}"])


def quantile_text(histogram: Histogram, q: float) -> str:
    """The quantile, or `n small` when fewer than ten samples lie beyond it: no number then."""
    if histogram.count and not histogram.enough_for(q):
        return N_SMALL
    return seconds(histogram.percentile(q))
