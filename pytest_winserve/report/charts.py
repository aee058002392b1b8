"""The charts of report.html: inline SVG, coloured by the page's style sheet.

Every chart has a title and a description that says in words what it shows, and tells its kinds of
marks apart by shape or place as well as by colour. All are 480 units wide, so that their text stays
readable when a phone shows them at 360 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.load.measures.units import format_round_seconds
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Second
from pytest_winserve.report.measurements import ExchangeRecord, VerdictRecord
from pytest_winserve.report.numbers import QUANTILES, percent, plural, seconds

WIDTH = 480
_LEFT, _RIGHT = 62, 14
_MAX_BARS = 96


def probe_chart(identifier: str, verdict: VerdictRecord) -> Markup:
    """How long each request of a probe took: slow ones as bars, fast ones as marks below.

    A blocked request is a red cross, the others are discs. Requests are drawn from the moment that
    each was sent; when that was is not in the results.
    """
    slow, fast = verdict.slow_requests, verdict.fast_requests
    lanes = sorted({request.backend for request in fast}, key=lambda b: (b is None, b))
    if not slow and not fast:
        return Markup()
    end = max(request.seconds for request in [*slow, *fast])
    scale = _Scale.upto(end, _LEFT + 34, WIDTH - _RIGHT)
    lane, top = 24, 8
    height = top + lane * (len(slow) + len(lanes)) + 42
    bottom = height - 42
    parts = [*_time_axis(scale, top, bottom, "seconds after the request was sent")]
    for row, request in enumerate(slow):
        y = top + lane * row
        parts.append(_text(_LEFT + 26, y + 16, "slow", "end"))
        width = max(scale(request.seconds) - scale.low, 1)
        tip = f"slow request: {seconds(request.seconds)}{_served(request)}"
        parts.append(_tag("rect", _tip(tip), "slow", x=scale.low, y=y + 4, width=width, height=15))
    for row, backend in enumerate(lanes):
        y = top + lane * (len(slow) + row) + 12
        parts.append(
            _text(_LEFT + 26, y + 5, "fast" if backend is None else f"on {backend}", "end")
        )
        for request in (r for r in fast if r.backend == backend):
            x = scale(request.seconds)
            state = "blocked" if request.blocked else "not blocked"
            tip = _tip(f"fast request, {state}: {seconds(request.seconds)}{_served(request)}")
            if request.blocked:
                cross = f"M{x - 5:.1f} {y - 5}l10 10m0-10l-10 10"
                parts.append(_tag("path", tip, "blocked", d=cross))
            else:
                parts.append(_tag("circle", tip, "fast", cx=x, cy=y, r=5))
    blocked = sum(request.blocked for request in fast)
    return _svg(
        identifier,
        height,
        "Probe",
        f"{plural(len(slow), 'slow request')} and {plural(len(fast), 'fast request')}, of which "
        f"{blocked} had to wait (red crosses). The slowest took {seconds(end)}.",
        parts,
    )


def rate_chart(identifier: str, result: Result) -> Markup:
    """Answers and errors per second over the time of a load, as stacked bars."""
    bars = _bars(result.timeline)
    if not bars:
        return Markup()
    top, bottom, height = 12, 160, 202
    peak = max(bar.good + bar.bad for bar in bars)
    y = _Scale.upto(peak, bottom, top)
    x = _Scale(0, bars[-1].end, _LEFT, WIDTH - _RIGHT)
    parts = [*_value_axis(y, _number), *_time_axis(x, top, bottom, "seconds since the start")]
    for bar in bars:
        left, right = x(bar.start), x(bar.end)
        width = max(right - left - 1, 0.5)
        tip = _tip(
            f"second {bar.start:g}: {_number(bar.good)} good answers, {_number(bar.bad)} errors /s"
        )
        split = y(bar.good)
        # One error among thousands of answers would be thinner than a hair: it must be seen.
        upper = min(y(bar.good + bar.bad), split - 2) if bar.bad else split
        good = _tag("rect", "", "good", x=left, y=split, width=width, height=bottom - split)
        bad = _tag("rect", "", "bad", x=left, y=upper, width=width, height=split - upper)
        parts.append(_tag("g", tip + good + (bad if bar.bad else Markup())))
    errors = sum(bar.bad * (bar.end - bar.start) for bar in bars)
    return _svg(
        identifier,
        height,
        "Requests per second",
        f"At most {_number(peak)} requests ended per second, in {plural(int(x.highest), 'second')} "
        f"with {plural(round(errors), 'error')}.",
        parts,
    )


def latency_chart(identifier: str, result: Result) -> Markup:
    """The percentile curves of total, first byte and connect times.

    The horizontal axis is logarithmic in the share of slower answers, as HdrHistogram's plots are;
    a curve ends where fewer than ten samples lie beyond it.
    """
    curves = [
        (name, label, _curve(histogram))
        for name, label, histogram in (
            ("total", "total", result.total),
            ("first_byte", "first byte", result.first_byte),
            ("connect", "connect", result.connect),
        )
        if name not in result.unmeasured
    ]
    curves = [curve for curve in curves if len(curve[2]) > 1]
    if not curves:
        return Markup()
    top, bottom, height = 12, 160, 202
    nines = max(point[0] for _, _, points in curves for point in points)
    longest = max(point[1] for _, _, points in curves for point in points)
    x = _Scale(0, max(nines, 1), _LEFT, WIDTH - _RIGHT)
    y = _Scale.upto(longest, bottom, top)
    parts = [*_value_axis(y, format_round_seconds)]
    for quantile in (0, 50, 90, 99, 99.9, 99.99, 99.999):
        position = -math.log10(1 - quantile / 100)
        if position <= x.highest + 1e-9:
            mark = x(position)
            parts.append(_tag("path", "", "grid", d=f"M{mark:.1f} {top}V{bottom}"))
            parts.append(_text(mark, bottom + 17, f"{quantile:g}", "middle"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, bottom + 36, "percentile", "middle"))
    for name, _, points in curves:
        line = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
        parts.append(_tag("path", "", f"curve {name}", d=f"M{line}"))
    words = "; ".join(
        f"{label}: median {seconds(points_at(points, 0.301))}, "
        f"{percent(1 - 10 ** -points[-1][0])} within {seconds(points[-1][1])}"
        for _, label, points in curves
    )
    return _svg(identifier, height, "Latency by percentile", f"{words}.", parts)


def quantile_chart(identifier: str, result: Result) -> Markup:
    """The quantiles of the total times over the time of a load, a point per second with an answer.

    A line is broken where fewer than ten samples lie beyond the quantile; one that has no point at
    all is left out, and so is the chart when there is none, or the seconds have sums only.
    """
    groups = [
        (start, end, Histogram.merged(s.total for s in inside if s.total is not None))
        for start, end, inside in _groups(result.timeline)
    ]
    lines = {
        f"p{q:g}": _runs(
            [
                ((start + end) / 2, histogram.percentile(q) if histogram.enough_for(q) else None)
                for start, end, histogram in groups
            ]
        )
        for q in QUANTILES
    }
    longest = max((y for runs in lines.values() for run in runs for _, y in run), default=None)
    if longest is None:
        return Markup()
    top, bottom, height = 12, 160, 202
    x = _Scale(0, groups[-1][1], _LEFT, WIDTH - _RIGHT)
    y = _Scale.upto(longest, bottom, top)
    parts = [
        *_value_axis(y, format_round_seconds),
        *_time_axis(x, top, bottom, "seconds since the start"),
    ]
    for name, runs in lines.items():
        for run in runs:
            # A point alone is drawn as a dash as wide as its second.
            run = (
                [(run[0][0] - 0.4, run[0][1]), (run[0][0] + 0.4, run[0][1])]
                if len(run) == 1
                else run
            )
            line = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in run)
            parts.append(_tag("path", "", f"curve {name}", d=f"M{line}"))
    words = "; ".join(
        f"{name} from {seconds(min(values))} to {seconds(max(values))}"
        for name, runs in lines.items()
        if (values := [value for run in runs for _, value in run])
    )
    return _svg(identifier, height, "Latency over time", f"{words}.", parts)


def paired_bars(
    identifier: str, title: str, unit: str, rows: Sequence[tuple[str, float | None, float | None]]
) -> Markup:
    """Two horizontal bars for each name, the published and the measured number, which stand beside
    them; one without a number has a dash."""
    numbers = [value for _, *pair in rows for value in pair if value is not None]
    if not numbers:
        return Markup()
    scale = _Scale.upto(max(numbers), 4, WIDTH - 90)
    row_height, bar_height = 56, 14
    parts = []
    for index, (name, *pair) in enumerate(rows):
        top = row_height * index
        parts.append(_text(4, top + 16, name, "start"))
        for place, (value, kind) in enumerate(zip(pair, ("published", "measured"), strict=True)):
            y = top + 22 + bar_height * place
            shown = "-" if value is None else f"{_number(value)} {unit}"
            width = scale(value or 0.0) - scale.low
            tip = _tip(f"{name}, {kind}: {shown}")
            css = "slow" if kind == "published" else "good"
            parts.append(
                _tag("rect", tip, css, x=scale.low, y=y, width=width, height=bar_height - 1)
            )
            parts.append(_text(scale.low + width + 6, y + 12, shown, "start"))
    words = "; ".join(
        f"{name}: published {'-' if a is None else _number(a)}, "
        f"measured {'-' if b is None else _number(b)} {unit}"
        for name, a, b in rows
    )
    return _svg(identifier, row_height * len(rows) + 4, title, f"{words}.", parts)


def share_bar(fraction: float | None) -> Markup:
    """A bar beside a number that says the same, so it is hidden from screen readers."""
    width = 100 * (fraction or 0.0)
    bar = _tag("rect", "", "good", x=0, y=0, width=width, height=10)
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" x="0" y="0" width="100" height="10"/>{}</svg>'
    ).format(bar)


def points_at(points: Sequence[tuple[float, float]], position: float) -> float:
    """The value of the first point at or beyond a position, of the last one if there is none."""
    return next((value for place, value in points if place >= position), points[-1][1])


def ticks(highest: float, wanted: int = 4) -> list[float]:
    """Round numbers from 0 to at least `highest`, about `wanted` steps of 1, 2 or 5 x 10^n."""
    if highest <= 0:
        return [0.0, 1.0]
    raw = highest / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    count = math.ceil(round(highest / step, 6))
    return [step * index for index in range(count + 1)]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Maps 0..highest to coordinates low..high; y axes have low below high."""

    lowest: float
    highest: float
    low: float
    high: float

    @classmethod
    def upto(cls, value: float, low: float, high: float) -> _Scale:
        return cls(0, ticks(value)[-1], low, high)

    def __call__(self, value: float) -> float:
        span = self.highest - self.lowest
        return self.low + (self.high - self.low) * (value - self.lowest) / span


@dataclass(frozen=True, slots=True)
class _Bar:
    start: float
    end: float
    good: float  # per second
    bad: float


def _bars(timeline: Sequence[Second]) -> list[_Bar]:
    """One bar per second; of long loads, means over equal groups of seconds."""
    bars = []
    for start, end, inside in _groups(timeline):
        total = sum(second.finished for second in inside)
        good = sum(
            count
            for second in inside
            for outcome, count in second.outcomes.items()
            if is_good(outcome)
        )
        bars.append(_Bar(start, end, good / (end - start), (total - good) / (end - start)))
    return bars


def _groups(timeline: Sequence[Second]) -> list[tuple[int, int, list[Second]]]:
    """Start, end and seconds of equal parts of a load: of a second each, of long loads more."""
    if not timeline:
        return []
    length = timeline[-1].at + 1
    group = math.ceil(length / _MAX_BARS)
    found = []
    for start in range(0, length, group):
        end = min(start + group, length)
        found.append((start, end, [s for s in timeline if start <= s.at < end]))
    return found


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """The points that follow each other without one that is not known."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((place, value))
    return [run for run in runs if run]


def _curve(histogram: Histogram) -> list[tuple[float, float]]:
    """Points (-log10 of the share of slower samples, seconds) as far as there are samples."""
    points = []
    for step in range(101):
        position = step / 20
        quantile = 100 * (1 - 10**-position)
        if not histogram.enough_for(quantile):
            break
        value = histogram.percentile(max(quantile, 1e-6))
        assert value is not None
        points.append((position, value))
    return points


def _served(request: ExchangeRecord) -> str:
    known = [
        f"{name} {getattr(request, name)}"
        for name in ("status", "backend", "pid", "thread")
        if getattr(request, name) is not None
    ]
    return f" ({', '.join(known)})" if known else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _value_axis(scale: _Scale, label: Callable[[float], str]) -> list[Markup]:
    parts = []
    for value in ticks(scale.highest):
        y = scale(value)
        parts.append(_tag("path", "", "grid", d=f"M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"))
        parts.append(_text(_LEFT - 7, y + 5, label(value), "end"))
    return parts


def _time_axis(scale: _Scale, top: float, bottom: float, title: str) -> list[Markup]:
    parts = []
    for value in ticks(scale.highest, wanted=5):
        if value <= scale.highest * 1.001:
            x = scale(value)
            parts.append(_tag("path", "", "grid", d=f"M{x:.1f} {top}V{bottom}"))
            parts.append(_text(x, bottom + 17, f"{value:g}", "middle"))
    parts.append(_text((scale.low + scale.high) / 2, bottom + 36, title, "middle"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return _tag("text", text, x=x, y=y, **{"text-anchor": anchor})


def _tip(text: str) -> Markup:
    return _tag("title", text)


def _tag(name: str, content: str = "", css: str = "", **attributes: float | str) -> Markup:
    if css:
        attributes = {"class": css, **attributes}
    written = Markup().join(
        Markup(' {}="{}"').format(key, f"{value:.1f}" if isinstance(value, float) else value)
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, content)


def _svg(
    identifier: str, height: float, title: str, description: str, parts: Sequence[Markup]
) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-labelledby="{}-t {}-d">'
        '<title id="{}-t">{}</title><desc id="{}-d">{}</desc>{}</svg>'
    ).format(
        WIDTH,
        f"{height:.0f}",
        *(identifier, identifier),
        *(identifier, title, identifier, escape(description)),
        Markup().join(parts),
    )
