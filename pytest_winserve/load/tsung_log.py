"""tsung's own log, `tsung.log`, and the numbers that tsung's report makes of it.

tsung writes a block of lines every 10 s (`dumpstats_interval`) and a last, shorter one at its end.
Sources, of tsung 1.7.0: `ts_stats_mon.erl` (`print_stats`, `reset_stats`) and `ts_mon.erl`
(`export_stats`, `close_stats`) write the log as text or JSON; `tsung_stats.pl` (`parse_stats_file`,
`html_report`) reads the text. Times are milliseconds here, as tsung has them; sizes are bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_winserve.errors import LoadError

Number = int | float

CPU_MAX = 3200
"""Percent of a CPU above which `tsung_stats.pl` takes a value for bad and skips its line."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_DUMP = re.compile(r"# stats: dump at (\d+)")
_STATS = re.compile(rf"stats: ('(?:[^'\\]|\\.)*'|\S+)((?: {_NUMBER})+)")
_END = re.compile(r"EndMonitor:\{\d+,\d+,\d+\}")
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
    count_before: int


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
L = TypeVar("L", Sample, Counter)


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
    count: int | None

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


@dataclass(frozen=True, slots=True)
class TsungLog:
    """A log that was read.

    `began` is the start of the first window, which only JSON has. `ended` tells whether tsung
    closed the log itself (a run cut by its `<load duration>` included); `cut` is what was left out
    of the last line of a killed run, with its place, or empty.
    """

    path: str
    began: int | None
    blocks: tuple[Block, ...]
    ended: bool
    cut: str

    def total(self, name: str) -> int:
        """What a counter counted until the last block; 0 when it never did."""
        return int(max((line.total for line in self._lines(name, Counter)), default=0))

    def names(self) -> frozenset[str]:
        """All names of the log."""
        return frozenset(line.name for block in self.blocks for line in block.lines)

    def samples(self, name: str) -> tuple[int, float]:
        """Count and sum (ms) of a sample over every window, the first and last included."""
        lines = list(self._lines(name, Sample))
        return sum(line.count for line in lines), sum(line.count * line.mean for line in lines)

    def highest(self, name: str) -> Number | None:
        """The highest sample (ms); None without samples."""
        lines = list(self._lines(name, Sample))
        return lines[-1].highest if lines else None

    def _lines(self, name: str, kind: type[L]) -> Iterator[L]:
        for block in self.blocks:
            for line in block.lines:
                if line.name == name and isinstance(line, kind):
                    yield line

    def report(self) -> Report:
        """The tables that `tsung_stats.pl` makes of the text form of this log, to the digit.

        As there: the first window is in no column but totals; a name that occurs in it alone has
        no row; a block in the same second as the one before is skipped.
        """
        return report_of(self.blocks)


def read_log(path: str | Path) -> TsungLog:
    """Read a log in either format.

    A last line that was cut when tsung was killed is left out, and `cut` says so. LoadError, with
    file and line, when the file cannot be read, holds a line that tsung does not write, or holds
    two runs (tsung appends runs that are started within one minute).
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{file}: not a log of tsung that can be read: {error}") from error
    reader = _read_json if text.lstrip().startswith("{") else _read_text
    return reader(str(file), text)


def _wrong(path: str, number: int, line: str, why: str = "not a line of tsung's log") -> LoadError:
    return LoadError(f"{path}, line {number}: {why}: {line[:200]!r}")


def _cut(path: str, number: int, line: str) -> str:
    return f"{path}, line {number} is cut off and left out: {line[:80]!r}"


def _number(text: str) -> Number:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _line(name: str, values: list[Number]) -> Line | None:
    if len(values) == 7:
        count, mean, stddev, highest, lowest, mean_before, before = values
        return Sample(name, int(count), mean, stddev, highest, lowest, mean_before, int(before))
    return Counter(name, *values) if len(values) == 2 else None


def _read_text(path: str, text: str) -> TsungLog:
    lines = text.split("\n")
    last, cut = lines.pop(), ""
    if last:
        cut = _cut(path, len(lines) + 1, last)
    blocks: list[tuple[int, list[Line]]] = []
    ended = False
    for number, line in enumerate(lines, 1):
        if ended:
            raise _wrong(path, number, line, "another run after the end of the first")
        if dump := _DUMP.fullmatch(line):
            blocks.append((int(dump[1]), []))
        elif stats := _STATS.fullmatch(line):
            made = _line(stats[1], [_number(value) for value in stats[2].split()])
            if made is None:
                raise _wrong(path, number, line, "neither 2 nor 7 numbers")
            if not blocks:
                raise _wrong(path, number, line, "before the first '# stats: dump at'")
            blocks[-1][1].append(made)
        elif _END.fullmatch(line):
            ended = True
        else:
            raise _wrong(path, number, line)
    made_blocks = tuple(Block(at, tuple(members)) for at, members in blocks)
    return TsungLog(path, None, made_blocks, ended, cut)


_JSON_HEAD = ("{", '"stats": [')
_JSON_SAMPLE = ("value", "mean", "stddev", "max", "min", "global_mean", "global_count")


def _read_json(path: str, text: str) -> TsungLog:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    blocks: list[Block] = []
    ended, cut = False, ""
    for number, line in enumerate(lines, 1):
        body, is_last = line.strip(), number == len(lines)
        if ended:
            raise _wrong(path, number, line, "another run after the end of the first")
        if number <= len(_JSON_HEAD):
            head = _JSON_HEAD[number - 1]
            if body == head:
                continue
            if not (is_last and head.startswith(body)):
                raise _wrong(path, number, line)
            cut = _cut(path, number, line)
        elif body.endswith("]}]}"):
            blocks.append(_json_block(path, number, body[:-2]))
            ended = True
        elif body.endswith("]},"):
            blocks.append(_json_block(path, number, body[:-1]))
        elif is_last:
            # A running tsung closes a block only when it begins the next one.
            start, samples, rest = body.partition('"samples": [')
            rest = re.sub(r"\](?:\}\]?)?$", "", rest)
            whole, left = rest[: rest.rfind("}") + 1], rest[rest.rfind("}") + 1 :]
            if samples:
                blocks.append(_json_block(path, number, f"{start}{samples}{whole}]}}"))
            if left or not samples:
                cut = _cut(path, number, left or body)
        else:
            raise _wrong(path, number, line)
    # The first element has the start of the run, and no samples.
    return TsungLog(path, blocks[0].at if blocks else None, tuple(blocks[1:]), ended, cut)


def _json_block(path: str, number: int, body: str) -> Block:
    try:
        data = json.loads(body)
        return Block(_whole(data["timestamp"]), tuple(map(_json_line, data["samples"])))
    except (ValueError, KeyError, TypeError) as error:
        why = f"not a block of tsung's JSON ({type(error).__name__}: {error})"
        raise _wrong(path, number, body, why) from error


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"a whole number is needed, not {value!r}")
    return value


def _json_line(sample: Mapping[str, Any]) -> Line:
    name = sample["name"]
    if not isinstance(name, str):
        raise TypeError(f"a name is needed, not {name!r}")
    if name.startswith("http_") and name[5:].isdigit():
        name = name[5:]
    if "hostname" in sample:
        name = f'{{{name},"{sample["hostname"]}"}}'
    if "global_count" in sample:
        values = [sample[key] for key in _JSON_SAMPLE]
    else:
        values = [sample["value"], sample["total"] if "total" in sample else sample["max"]]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name}: a number is needed, not {value!r}")
    line = _line(name, values)
    assert line is not None
    return line


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
        self.count: int | None = None

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
    if seconds < 0.001:
        return f"{seconds * 1000:.3f} msec"
    if seconds < 0.1:
        return f"{seconds * 1000:.2f} msec"
    if seconds < 60:
        return f"{seconds:.2f} sec"
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
