"""tsung's own log, `tsung.log`, and the numbers that tsung's report makes of it.

tsung writes a block of lines every 10 s (`dumpstats_interval`) and a last, shorter one at its end.
Sources, of tsung 1.7.0: `ts_stats_mon.erl` (`print_stats`, `reset_stats`) and `ts_mon.erl`
(`export_stats`, `close_stats`) write the log as text or JSON; `tsung_stats.pl` (`parse_stats_file`,
`html_report`) reads the text. Times are milliseconds here, as tsung has them; sizes are bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_winserve.errors import LoadError
from pytest_winserve.load.results.tsung_report import (
    Block,
    Counter,
    Line,
    Number,
    Report,
    Sample,
    report_of,
)

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_DUMP = re.compile(r"# stats: dump at (\d+)")
_STATS = re.compile(rf"stats: ('(?:[^'\\]|\\.)*'|\S+)((?: {_NUMBER})+)")
_END = re.compile(r"EndMonitor:\{\d+,\d+,\d+\}")
L = TypeVar("L", Sample, Counter)


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
