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


def format_seconds(seconds: float) -> str:
    """With three significant digits, in the unit that suits it: `0.42 ms`, `312 ms`, `1.20 s`."""
    if seconds >= 100:
        return f"{seconds:.0f} s"
    if seconds >= 10:
        return f"{seconds:.1f} s"
    # 0.9995 s and more would print as 1000 ms.
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    ms = seconds * 1000
    if ms >= 100:
        return f"{ms:.0f} ms"
    if ms >= 10:
        return f"{ms:.1f} ms"
    return f"{ms:.2f} ms"


def format_round_seconds(seconds: float) -> str:
    """A round number, as on an axis, without zeros at its end: `0 s`, `500 ms`, `2.5 s`."""
    return f"{seconds:g} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.4g} ms"


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
