"""How a report writes numbers."""

from __future__ import annotations

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.units import format_seconds

NOT_MEASURED = "not measured"
N_SMALL = "n small"

QUANTILES = (50.0, 95.0, 99.0)


def seconds(value: float | None) -> str:
    """A duration: `0.42 ms`, `1.20 s`."""
    return NOT_MEASURED if value is None else format_seconds(value)


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
