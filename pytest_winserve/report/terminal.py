"""The summary at the end of a pytest run.

ASCII only, whatever the console: on Windows its encoding is often one that has no box characters,
and what cannot be encoded there ends the whole run with a UnicodeEncodeError.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal

from pytest_winserve.report import findings, numbers, overview, tables
from pytest_winserve.report.blocks import Report, ShownLoad, SiteBlock
from pytest_winserve.report.findings import Sentence
from pytest_winserve.report.overview import OverviewRow

MIN_WIDTH = 20
_STYLES = {"bold": "1", "good": "32", "bad": "1;31"}
_EVENT_LINES = 12
_NARROW = {
    "highest 10sec mean": "highest\n10sec mean",
    "lowest 10sec mean": "lowest\n10sec mean",
    "Highest Rate": "Highest\nRate",
    "Mean Rate": "Mean\nRate",
    "Total number": "Total\nnumber",
    "at once": "at\nonce",
    "rate /s": "rate\n/s",
    "error rate": "error\nrate",
    "unaccounted": "unac-\ncounted",
}
_UNIT = re.compile(r"(\d) (?=(?:ms|s|%|/s)(?![\w/]))")

Detail = Literal["least", "less", "usual", "more"]
"""How much is told: `least` is what fails a run although no test failed, `less` has sentences but
no tables of a load, `more` has events in full."""

# A line and its style; styled only when everything is laid out, since colour codes have no width.
_Line = tuple[str, str]


def render(
    report: Report, *, width: int = 80, color: bool = False, detail: Detail = "usual"
) -> str:
    """The summary of a run, empty when there are no tests.

    No line is longer than `width` characters (at least 20), not counting colour codes. Ends with a
    newline unless it is empty.
    """
    width = max(width, MIN_WIDTH)
    lines: list[_Line] = []
    if detail == "least":
        for requirement in report.run.requirements:
            if not requirement.evaluated:
                lines += _sentence(findings.requirement_sentence(requirement), width, indent="")
        return "".join(_styled(line, color) + "\n" for line in lines)
    for block in report.blocks:
        lines += [*_block(block, width, detail), ("", "")]
    if not lines:
        return ""
    rows = overview.comparison(report.blocks)
    if rows:
        lines += [*_comparison(rows, width), ("", "")]
    for lacks in report.run.left_out:
        text = f"not tried on {lacks.host}: {lacks.name} ({lacks.state}): {lacks.reason}"
        hint = f"; {lacks.hint}" if lacks.hint else ""
        lines += _sentence(Sentence(text + hint), width, indent="")
    for requirement in report.run.requirements:
        lines += _sentence(findings.requirement_sentence(requirement), width, indent="")
    while lines[-1][0] == "":
        lines.pop()
    return "".join(_styled(line, color) + "\n" for line in lines)


def clean(text: str) -> str:
    """`text` as one line of printable ASCII: it cannot move the cursor or fail to encode."""
    text = " ".join(text.split())
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """A table of at most `width` columns; the first column is text, the others are numbers.

    When there is not enough room the header takes two lines, then the columns move closer together,
    then the first column is shortened in its middle unless two rows would then look the same; what
    still does not fit is written as one paragraph per row.
    """
    narrow = [_NARROW.get(title, title) for title in header]
    for titles, separator in ((header, " | "), (narrow, " | "), (narrow, "  "), (narrow, " ")):
        lines = _grid(titles, rows, separator)
        if max(map(len, lines)) <= width:
            return lines
    excess = max(map(len, lines)) - width
    room = max(len(row[0]) for row in rows) - excess
    names = [_shortened(row[0], room) for row in rows]
    if room >= 12 and len(set(names)) == len(names):
        short = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
        return _grid(narrow, short, " ")
    stacked: list[str] = []
    for row in rows:
        cells = ", ".join(f"{t} {cell}" for t, cell in zip(header[1:], row[1:], strict=True))
        stacked += _wrapped(f"{row[0]}: {cells}", width, "", "  ")
    return stacked


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]], separator: str) -> list[str]:
    titles = [title.split("\n") for title in header]
    height = max(map(len, titles))
    head = [[*[""] * (height - len(title)), *title] for title in titles]
    cells = [*zip(*head, strict=True), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        separator.join(
            cell.rjust(size) if index else cell.ljust(size)
            for index, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    rule = separator.replace(" | ", "-+-").replace(" ", "-" if "|" in separator else " ")
    lines.insert(height, rule.join("-" * size for size in widths))
    return lines


def _shortened(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    kept = max(room - 2, 2)
    return f"{text[: kept - kept // 2]}..{text[len(text) - kept // 2 :]}"


def _wrapped(text: str, width: int, indent: str, more: str) -> list[str]:
    # A number stays with its unit: DEL stands for the blank between them while lines are broken.
    glued = _UNIT.sub("\\1\x7f", clean(text))
    lines = textwrap.wrap(
        glued, width, initial_indent=indent, subsequent_indent=more, break_on_hyphens=False
    )
    return [line.replace("\x7f", " ") for line in lines]


def _sentence(sentence: Sentence, width: int, indent: str = "  ") -> Iterator[_Line]:
    style = {True: "good", False: "bad", None: ""}[sentence.good]
    for line in _wrapped(sentence.text, width, indent, indent + "  "):
        yield line, style


def _block(block: SiteBlock, width: int, detail: Detail) -> Iterator[_Line]:
    for line in _wrapped(f"{block.topology} on {block.host}: {block.app}", width, "", "  "):
        yield line, "bold"
    if block.development:
        yield from _sentence(Sentence(findings.DEVELOPMENT), width)
    if not block.measured:
        text = (
            f"{numbers.NOT_MEASURED}: no probe, capacity or load came to an end ({block.outcomes})"
        )
        yield from _sentence(Sentence(text), width)
    for verdict in block.verdicts:
        yield from _sentence(findings.verdict_sentence(verdict), width)
        yield from _sentence(Sentence(findings.verdict_details(verdict)), width, "    ")
        for logged in findings.logged_sentences(verdict.logged):
            yield from _sentence(logged, width, "    ")
    for capacity in block.capacities:
        yield from _sentence(findings.capacity_sentence(capacity, block.topology), width)
        yield from _sentence(Sentence(findings.capacity_details(capacity)), width, "    ")
        for logged in findings.logged_sentences(capacity.logged):
            yield from _sentence(logged, width, "    ")
    for load in block.loads:
        if detail != "less":
            yield "", ""
        yield from _load(load, width, detail)
    if detail != "less" and block.loads and (block.telling_checks or block.events):
        yield "", ""
    for check in block.telling_checks:
        yield from _sentence(findings.check_sentence(check), width)
    for event in block.events:
        yield from _event(event, width, detail)


def _event(event: str, width: int, detail: Detail) -> Iterator[_Line]:
    shown = len(event.splitlines()) if detail == "more" else _EVENT_LINES
    first, rest, left_out = findings.event_parts(event, shown)
    for line in _wrapped(f"event: {first}", width, "  ", "    "):
        yield line, "bad"
    if left_out:
        yield from _sentence(Sentence(f"({left_out} lines left out)"), width, "    ")
    for text in rest:
        for line in _wrapped(text, width, "    ", "      "):
            yield line, ""


def _load(load: ShownLoad, width: int, detail: Detail) -> Iterator[_Line]:
    result = load.result
    yield from _sentence(Sentence(f"{findings.load_title(result)} ({load.nodeid})"), width)
    for warning in findings.load_warnings(result):
        yield from _sentence(warning, width)
    if detail == "less":
        yield from _sentence(findings.load_counts(result), width)
        yield from _sentence(Sentence(findings.latency(result)), width)
        return
    for part in [*tables.article_tables(load), *tables.detail_tables(result)]:
        rows = [[clean(cell) for cell in row] for row in part.rows]
        for line in table(part.header, rows, width):
            yield line, ""
        yield "", ""
    yield from _sentence(findings.load_counts(result), width)
    for text in filter(None, (findings.pace(result), findings.latency(result))):
        yield from _sentence(Sentence(text), width)
    yield from _sentence(findings.ledger_text(result), width)
    if result.unmeasured:
        yield from _sentence(Sentence(findings.unmeasured_text(result)), width)
    used = tables.usage_table(result)
    if used is not None:
        yield "", ""
        for line in table(used.header, used.rows, width - 2):
            yield f"  {line}", ""


def _comparison(rows: Sequence[OverviewRow], width: int) -> Iterator[_Line]:
    yield "Comparison", "bold"
    cells = [[clean(cell) for cell in row.cells(missing="-")] for row in rows]
    for line in table(overview.COMPARISON_HEADER, cells, width):
        yield line, ""
    notes = []
    if any("-" in row[1:] for row in cells):
        notes.append(f"-: {numbers.NOT_MEASURED}.")
    notes += overview.notes(rows)
    for line in _wrapped(" ".join(notes), width, "", "  "):
        yield line, ""


def _styled(line: _Line, color: bool) -> str:
    text, style = line
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if color and style and text else text
