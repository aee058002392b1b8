"""The numbers of a report by tsung: what `tsung_stats.pl` would print."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pytest_winserve.load.measures.units import format_duration

Number = int | float

CPU_MAX = 3200
"""Percent of a CPU above which `tsung_stats.pl` takes a value for bad and skips its line."""
_MONITORED = re.compile(r'\{(\S+),"(\S+)"\}')


@dataclass(frozen=True, slots=True)
class Sample:
    """A line with times (or other samples) of one window, in ms.

    `count`, `mean`, `stddev` (of the population) are the window's. `highest` and `lowest` are since
    the start. `mean_before` and `count_before` are of all windows before this one.
    """

    name: str
    count: int
    mean: Number
    stddev: Number
    highest: Number
    lowest: Number
    mean_before: Number
    count_before: Number


@dataclass(frozen=True, slots=True)
class Counter:
    """A line with a counter: `now` is what the window added, `total` the sum since the start.

    Two names differ: `users` has the users of the moment and their peak so far; the total of
    `connected` is the connections of the moment.
    """

    name: str
    now: Number
    total: Number


Line = Sample | Counter


@dataclass(frozen=True, slots=True)
class Block:
    """What was written at one time: `at` is the end of the window, in whole seconds of UNIX time.

    In text, names are as in the log; in JSON, codes lose their `http_` and a monitored value is
    `{cpu,"HOST"}`, so that both formats give the same names.
    """

    at: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One name in the tables of `tsung_stats.pl`; None where the script has no value.

    `highest_mean` and `lowest_mean` are of windows from the second on (ms); for a counter the
    first is its total. `highest_rate` (per second) is the peak of a window's count over its
    length, `mean_rate` the unweighted mean of these rates. `mean` (ms) and `count` leave the last
    window out, since they are what that window's line says about the windows before.
    """

    name: str
    kind: str
    highest_mean: Number | None
    lowest_mean: Number | None
    highest_rate: float
    mean_rate: float
    mean: Number | None
    count: Number | None

    def cells(self) -> tuple[str, ...]:
        """The row's cells as the script prints them into `report.html`, without the name.

        The columns depend on the kind (`report.thtml`): six for stats and transactions; highest
        and lowest mean for what is monitored; highest rate, mean rate, total for codes, counters
        and matches; highest rate and total for errors and the network; the maximum for a gauge.
        """
        return _CELLS[self.kind](self)


@dataclass(frozen=True, slots=True)
class Report:
    """The tables of tsung's report: rows by name, sorted."""

    rows: Mapping[str, Row]

    def table(self, *kinds: str) -> dict[str, Row]:
        """The rows of these kinds: stats, transaction, network, count, match, gauge, error,
        os_mon, http_status."""
        return {name: row for name, row in self.rows.items() if row.kind in kinds}


class _Tally:
    """What `parse_stats_file` keeps of one name; its variables have the script's meaning."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rate: float = 0.0
        self.rate_total: float = 0.0
        self.rate_count = 0
        self.maxmean: Number | None = None
        self.minmean: Number | None = None
        self.mean: Number | None = None
        self.count: Number | None = None

    def add(self, line: Line, interval: int) -> None:
        counted, mean = (
            (line.count, line.mean) if isinstance(line, Sample) else (line.now, line.total)
        )
        rate = counted / interval
        # In the script a stored 0 counts as not set, so whatever comes next replaces it.
        if not self.rate or rate > self.rate:
            self.rate = rate
        self.rate_total += rate
        self.rate_count += 1
        if not self.maxmean or mean > self.maxmean:
            self.maxmean = mean
        if isinstance(line, Sample):
            self.mean = line.mean_before
            if not self.count or line.count_before > self.count:
                self.count = line.count_before
        if rate and (not self.minmean or mean < self.minmean):
            self.minmean = mean


def report_of(blocks: Iterable[Block]) -> Report:
    """The tables that `tsung_stats.pl` makes of these blocks."""
    tallies: dict[str, _Tally] = {}
    first = 0
    passed = 0
    for block in blocks:
        first = first or block.at
        interval, passed = block.at - first - passed, block.at - first
        if not interval:
            continue
        for line in block.lines:
            name = _reported_name(line.name)
            kind = _kind(name)
            counted, mean = (
                (line.count, line.mean) if isinstance(line, Sample) else (line.now, line.total)
            )
            if kind == "os_mon" and (
                str(counted).startswith("0") or (name.startswith("cpu:") and mean > CPU_MAX)
            ):
                continue
            tallies.setdefault(name, _Tally(kind)).add(line, interval)
    return Report(
        {
            name: Row(
                name=name,
                kind=tally.kind,
                highest_mean=tally.maxmean,
                lowest_mean=tally.minmean,
                highest_rate=tally.rate,
                mean_rate=tally.rate_total / tally.rate_count,
                mean=tally.mean,
                count=tally.count,
            )
            for name, tally in sorted(tallies.items())
        }
    )


def _reported_name(name: str) -> str:
    name = name.replace("page_resptime", "page").replace("response_time", "request")
    return _MONITORED.sub(r"\1:\2" if "os_mon" in name else r"\1:os_mon@\2", name)


def _kind(name: str) -> str:
    """The script's category of a name; all that is monitored is one kind here."""
    if re.match(r"cpu:|freemem:|load:|\w{4}packets:|\w+:os_mon", name):
        return "os_mon"
    if name.isdigit():
        return "http_status"
    if name in {"request", "page", "session", "connect", "async_rcv"}:
        return "stats"
    if name.startswith("tr_") or name == "xmpp_msg_latency":
        return "transaction"
    for start, kind in (("size", "network"), ("error", "error"), ("bidi", "count")):
        if name.startswith(start):
            return kind
    if name == "request_noack":
        return "count"
    if "match" in name:
        return "match"
    return "count" if name.startswith("job_") else "gauge"


def format_time(ms: Number | None) -> str:
    """`formattime` of the script: `0.385 msec`, `34.30 msec`, `0.39 sec`, `1mn  24sec`."""
    if not ms:
        return ""
    seconds = ms / 1000
    if seconds < 60:
        return format_duration(seconds)
    if seconds < 3600:
        minutes = int(seconds / 60)
        return f"{minutes}mn  {int(seconds - minutes * 60)}sec"
    if seconds > 3600:
        hours = int(seconds / 3600)
        minutes = int((seconds - hours * 3600) / 60)
        return f"{hours} h {minutes}mn  {int(seconds - (hours * 3600 + minutes * 60))}sec"
    return f"{seconds:.1f} sec"


def format_size(value: Number | None, unit: str) -> str:
    """`formatsize` of the script: `512 B`, `8.24 KB`, `1.18 Mbits`."""
    if not value:
        return ""
    if value < 1024:
        return f"{int(value)} {unit}"
    for power, letter in ((1, "K"), (2, "M")):
        if value < 1024 ** (power + 1):
            return f"{value / 1024**power:.2f} {letter}{unit}"
    return f"{value / 1024**3:.2f} G{unit}"


def _plain(value: Number | None) -> str:
    """As Perl prints a number."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else format(value, ".15g")


def _timed_cells(row: Row) -> tuple[str, ...]:
    # `html_report` formats the times of all of these but async_rcv, which is a counter.
    time: Callable[[Number | None], str] = _plain if row.name == "async_rcv" else format_time
    return (
        time(row.highest_mean),
        time(row.lowest_mean),
        f"{_plain(row.highest_rate)} / sec",
        f"{row.mean_rate:.2f} / sec",
        time(row.mean),
        _plain(row.count),
    )


def _network_cells(row: Row) -> tuple[str, ...]:
    if row.name in {"size_rcv", "size_sent"} and row.highest_rate:
        rate = format_size(row.highest_rate * 8, "bits")
        return f"{rate}/sec", format_size(row.highest_mean, "B")
    return f"{_plain(row.highest_rate)}/sec", _plain(row.highest_mean)


def _rated_cells(row: Row) -> tuple[str, ...]:
    return (
        f"{_plain(row.highest_rate)} / sec",
        f"{row.mean_rate:.2f} / sec",
        _plain(row.highest_mean),
    )


_UNITS = (("cpu:", " %"), ("load:", ""), ("freemem:", " MB"))


def _monitored_cells(row: Row) -> tuple[str, ...]:
    unit = next((unit for start, unit in _UNITS if row.name.startswith(start)), " / sec")
    values = (row.highest_mean, row.lowest_mean)
    return tuple(f"{'' if value is None else format(value, '.2f')}{unit}" for value in values)


_CELLS: Mapping[str, Callable[[Row], tuple[str, ...]]] = {
    "stats": _timed_cells,
    "transaction": _timed_cells,
    "network": _network_cells,
    "count": _rated_cells,
    "match": _rated_cells,
    "http_status": _rated_cells,
    "gauge": lambda row: (_plain(row.highest_mean),),
    "error": lambda row: (f"{_plain(row.highest_rate)} / sec", _plain(row.highest_mean)),
    "os_mon": _monitored_cells,
}
