"""How durations, rates, memory and CPU are written."""

from __future__ import annotations


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


def format_memory(value: int | None) -> str:
    """Bytes as `183 MiB`."""
    if value is None:
        return "not measured"
    return f"{value / 2**20:.3g} MiB" if value < 1000 * 2**20 else f"{value / 2**30:.3g} GiB"


def format_cpu(value: float | None) -> str:
    """CPU seconds: `8.12 s`."""
    return "not measured" if value is None else f"{value:.3g} s"
