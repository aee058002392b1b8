"""tsung's own log, `tsung.log`, and the numbers that tsung's report makes of it.

tsung writes a block of lines every 10 s (`dumpstats_interval`) and a last, shorter one at its end.
Sources, of tsung 1.7.0: `ts_stats_mon.erl` (`print_stats`, `reset_stats`) and `ts_mon.erl`
(`export_stats`, `close_stats`) write the log as text or JSON; `tsung_stats.pl` (`parse_stats_file`,
`html_report`) reads the text. Times are milliseconds here, as tsung has them; sizes are bytes.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
_DUMP = re.compile(r"# stats:\s+dump at\s+(\d+)")
_STATS = re.compile(rf"stats: ('(?:[^'\\]|\\.)*'|\S+)((?:\s+{_NUMBER})+)")
_END = re.compile(r"EndMonitor:\{\d+,\d+,\d+\}")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""How a text that begins with one of these marks is encoded, with the mark left out."""
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
    """Read a log in either format, as tsung writes it or as another tool has written it again: with
    a byte-order mark, other line ends, blank lines, JSON indented in another way.

    What was cut off when tsung was killed is left out, and `cut` says so. LoadError, with file and
    line, when the file cannot be read, holds what tsung does not write, or holds two runs (tsung
    appends runs that are started within one minute).
    """
    file = Path(path)
    try:
        text = _decoded(file.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{file}: not a log of tsung that can be read: {error}") from error
    reader = _read_json if text.lstrip().startswith("{") else _read_text
    return reader(str(file), text)


def _decoded(data: bytes) -> str:
    found = (encoding for mark, encoding in _MARKS.items() if data.startswith(mark))
    return data.decode(next(found, "utf-8")).replace("\r\n", "\n")


def _wrong(path: str, number: int, line: str, why: str = "not a line of tsung's log") -> LoadError:
    return LoadError(f"{path}, line {number}: {why}: {line[:200]!r}")


def _cut(path: str, number: int, line: str) -> str:
    return f"{path}, line {number} is cut off and left out: {line[:80]!r}"


def _number(text: str) -> Number:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _line(name: str, values: list[Number]) -> Line | None:
    if len(values) in {7, 8}:
        # An older tsung wrote an eighth number, which its report does not read.
        count, mean, stddev, highest, lowest, mean_before, before = values[:7]
        return Sample(name, int(count), mean, stddev, highest, lowest, mean_before, before)
    return Counter(name, *values) if len(values) == 2 else None


def _read_text(path: str, text: str) -> TsungLog:
    lines = text.split("\n")
    last, cut = lines.pop(), ""
    if last.strip():
        cut = _cut(path, len(lines) + 1, last)
    blocks: list[tuple[int, list[Line]]] = []
    ended = False
    for number, line in enumerate(lines, 1):
        said = line.rstrip()
        if not said:
            continue
        if ended:
            raise _wrong(path, number, line, "another run after the end of the first")
        if dump := _DUMP.fullmatch(said):
            blocks.append((int(dump[1]), []))
        elif stats := _STATS.fullmatch(said):
            made = _line(stats[1], [_number(value) for value in stats[2].split()])
            if made is None:
                raise _wrong(path, number, line, "neither 2 nor 7 numbers, nor 8")
            if not blocks:
                raise _wrong(path, number, line, "before the first '# stats: dump at'")
            blocks[-1][1].append(made)
        elif _END.fullmatch(said):
            ended = True
        else:
            raise _wrong(path, number, line)
    made_blocks = tuple(Block(at, tuple(members)) for at, members in blocks)
    return TsungLog(path, None, made_blocks, ended, cut)


_JSON_SAMPLE = ("value", "mean", "stddev", "max", "min", "global_mean", "global_count")
_BLANK = re.compile(r"[ \t\n\r]*")
_BEGUN = re.compile(r'[ \t\n\r]*(?:"(?:[^"\\]|\\.)*\\?|[-+.\w]*)', re.DOTALL)
"""The beginning of a value, where it was cut off."""


class _CutOffError(Exception):
    """The text ends where more must follow: a running tsung has not closed what it has opened."""


class _JsonText:
    """The text of a log, read from its beginning on as far as it goes."""

    def __init__(self, path: str, text: str) -> None:
        self.text = text
        self.at = 0
        self._path = path
        self._decoder = json.JSONDecoder()

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def line(self) -> int:
        """The number of the line that it is at."""
        return self.text.count("\n", 0, self.at) + 1

    def wrong(self, *why: str) -> LoadError:
        """That what stands here is not tsung's."""
        begin = self.text.rfind("\n", 0, self.at) + 1
        return _wrong(self._path, self.line(), self.text[begin:].partition("\n")[0], *why)

    def no_block(self, why: str) -> LoadError:
        """That what stands here is no block of tsung's, and why."""
        return self.wrong(f"not a block of tsung's JSON ({why})")

    def cut(self) -> str:
        """What is left out, as it was cut off; empty when nothing is."""
        return _cut(self._path, self.line(), self.rest) if self.rest else ""

    def takes(self, token: str) -> bool:
        """Whether it goes on with this; then it is read. Raises _CutOffError."""
        self.skip()
        found = self.text.startswith(token, self.at)
        if not found and token.startswith(self.rest):
            raise _CutOffError
        self.at += len(token) * found
        return found

    def skip(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        assert blank is not None
        self.at = blank.end()

    def demand(self, *tokens: str) -> None:
        """Read these. Raises _CutOffError, and LoadError when it goes on with something else."""
        for token in tokens:
            if not self.takes(token):
                raise self.wrong()

    def value(self) -> Any:
        """Read a whole value. Raises _CutOffError, and LoadError for what is no JSON."""
        self.skip()
        try:
            value, self.at = self._decoder.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            if _BEGUN.fullmatch(self.text, error.pos):
                raise _CutOffError from None
            self.at = error.pos
            raise self.no_block(f"JSONDecodeError: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise self.no_block(str(error)) from None
        return value

    def items(self, end: str) -> Iterator[None]:
        """Once at each item of a list or an object, until the token that ends it."""
        if self.takes(end):
            return
        yield
        while not self.takes(end):
            self.demand(",")
            yield


@dataclass(slots=True)
class _Element:
    """An element of the list in a JSON log: a time, and the samples of the window that it ends."""

    values: dict[str, Any] = field(default_factory=dict)
    samples: list[Line] | None = None

    def read(self, text: _JsonText) -> None:
        """Read it. Raises _CutOffError, with all samples kept that are whole, and LoadError."""
        text.demand("{")
        for _ in text.items("}"):
            key = text.value()
            text.demand(":")
            if key != "samples":
                self.values[str(key)] = text.value()
                continue
            text.demand("[")
            self.samples = []
            for _ in text.items("]"):
                text.skip()
                begin = text.at
                sample = text.value()
                try:
                    self.samples.append(_json_line(sample))
                except (ValueError, KeyError, TypeError) as error:
                    text.at = begin
                    raise text.no_block(f"{type(error).__name__}: {error}") from error

    @property
    def known(self) -> bool:
        """Whether it has been read far enough to be of use."""
        return self.samples is not None and "timestamp" in self.values

    def block(self) -> Block:
        """Raises KeyError and TypeError for one that lacks something."""
        at = _whole(self.values["timestamp"])
        if self.samples is None:
            raise KeyError("samples")
        return Block(at, tuple(self.samples))


def _block_of(element: _Element, text: _JsonText, begin: int) -> Block:
    """Raises LoadError that names the line of `begin`."""
    try:
        return element.block()
    except (KeyError, TypeError) as error:
        text.at = begin
        raise text.no_block(f"{type(error).__name__}: {error}") from error


def _read_json(path: str, source: str) -> TsungLog:
    text = _JsonText(path, source)
    blocks: list[Block] = []
    element: _Element | None = None
    ended, cut = False, ""
    try:
        text.demand("{", '"stats"', ":", "[")
        for _ in text.items("]"):
            element = _Element()
            text.skip()
            begin = text.at
            element.read(text)
            blocks.append(_block_of(element, text, begin))
            element = None
        text.demand("}")
        ended = True
        text.skip()
        if text.rest:
            raise text.wrong("another run after the end of the first")
    except _CutOffError:
        cut = text.cut()
        if element is not None and element.known:
            blocks.append(_block_of(element, text, text.at))
    # The first element has the start of the run, and no samples.
    began = blocks[0].at if blocks and not blocks[0].lines else None
    return TsungLog(path, began, tuple(blocks[began is not None :]), ended, cut)


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
