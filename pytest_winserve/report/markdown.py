"""summary.md: the report as GitHub-flavoured Markdown, for a CI job's summary page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_winserve.report import declared, findings, numbers, overview, tables
from pytest_winserve.report.blocks import Report, ShownLoad, SiteBlock
from pytest_winserve.report.findings import Sentence
from pytest_winserve.report.overview import OverviewRow

_EVENT_LINES = 40
_SPECIAL = re.compile(r"[\\`*_\[\]|~#]")
# GitHub reads $...$ as a formula, and a backslash does not prevent it.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}


def render(report: Report) -> str:
    """A run as Markdown; says so when no test measured anything."""
    run = report.run
    lines = ["# pytest-winserve", ""]
    if not report.blocks:
        lines += ["No test used a site.", ""]
    if run.recommendation:
        lines += ["## Recommendation", "", "```text", *run.recommendation, "```", ""]
    rows = overview.comparison(report.blocks)
    if rows:
        lines += ["## Comparison", "", *_comparison(rows), ""]
    if run.requirements:
        lines += [*(_item(findings.requirement_sentence(one)) for one in run.requirements), ""]
    for part in declared.tables(run):
        lines += ["## Declared and measured", "", escape(part.caption), ""]
        lines += [*table_lines(part.header, part.rows), ""]
    lacking = declared.left_out(run)
    if lacking is not None:
        lines += ["## Not tried", "", *table_lines(lacking.header, lacking.rows, texts=5), ""]
    for block in report.blocks:
        lines += [*_block(block), ""]
    lines += ["## Environment", ""]
    lines += table_lines(["what", "value"], tables.environment_rows(run), texts=2)
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """`text` on one line with nothing left that Markdown, HTML or a table would interpret."""
    text = " ".join(text.split())
    text = "".join(_ENTITIES.get(character, character) for character in text)
    # The "#" of an entity made above is not the user's.
    return _SPECIAL.sub(lambda match: "\\" + match[0], text).replace("&\\#36;", "&#36;")


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> list[str]:
    """The first `texts` columns are aligned as text, the others as numbers."""
    ruler = ["---" if index < texts else "---:" for index in range(len(header))]
    return [
        _cells(header),
        _cells(ruler),
        *(_cells([escape(cell) for cell in row]) for row in rows),
    ]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _item(sentence: Sentence) -> str:
    text = escape(sentence.text)
    return f"- {'**' + text + '**' if sentence.good is False else text}"


def _comparison(rows: Sequence[OverviewRow]) -> Iterator[str]:
    cells = [row.cells(missing=numbers.NOT_MEASURED) for row in rows]
    yield from table_lines(overview.COMPARISON_HEADER, cells)
    yield ""
    yield from map(escape, overview.notes(rows))


def _block(block: SiteBlock) -> Iterator[str]:
    yield f"## {escape(block.topology)} on {escape(block.host)}"
    yield ""
    yield f"App: {escape(block.app)}"
    yield ""
    if block.development:
        yield _item(Sentence(findings.DEVELOPMENT))
    if not block.measured:
        yield f"- **{numbers.NOT_MEASURED}**: no probe, capacity or load came to an end"
    for verdict in block.verdicts:
        yield _item(findings.verdict_sentence(verdict))
        yield from _details(findings.verdict_details(verdict))
        yield from map(_item, findings.logged_sentences(verdict.logged))
    for capacity in block.capacities:
        yield _item(findings.capacity_sentence(capacity, block.topology))
        yield from _details(findings.capacity_details(capacity))
        yield from map(_item, findings.logged_sentences(capacity.logged))
    for load in block.loads:
        yield ""
        yield from _load(load)
    if block.checks:
        yield ""
        yield "**Criteria**"
        yield ""
        yield from (_item(findings.check_sentence(check)) for check in block.checks)
    if block.events:
        yield ""
        yield "**Events**"
        yield ""
        for event in block.events:
            yield from _event(event)
    yield ""
    yield f"Tests: {escape(block.outcomes)}"
    yield ""
    yield from table_lines(["test", "outcome"], block.tests, texts=2)


def _details(text: str) -> list[str]:
    return [f"  - {escape(text)}"] if text else []


def _event(event: str) -> Iterator[str]:
    first, rest, left_out = findings.event_parts(event, _EVENT_LINES)
    yield f"- event: {escape(first)}" + (f" ({left_out} lines left out)" if left_out else "")
    if rest:
        # A fence longer than any run of backticks inside cannot be closed from inside.
        longest = max((len(run) for line in rest for run in re.findall("`+", line)), default=0)
        fence = "`" * max(longest + 1, 3)
        yield ""
        yield from (f"  {line}".rstrip() for line in (f"{fence}text", *rest, fence))
        yield ""


def _load(load: ShownLoad) -> Iterator[str]:
    result = load.result
    yield f"### {escape(findings.load_title(result))}"
    yield ""
    yield f"Test: {escape(load.nodeid)}"
    yield ""
    warnings = findings.load_warnings(result)
    if warnings:
        yield from (_item(warning) for warning in warnings)
        yield ""
    for table in [*tables.article_tables(load), *tables.detail_tables(result)]:
        yield from table_lines(table.header, table.rows)
        yield ""
    yield _item(findings.load_counts(result))
    for text in filter(None, (findings.pace(result), findings.latency(result))):
        yield _item(Sentence(text))
    yield _item(findings.ledger_text(result))
    if result.unmeasured:
        yield _item(Sentence(findings.unmeasured_text(result)))
    if result.by_backend:
        rows = [
            [share.name, str(share.answers), numbers.percent(share.fraction), share.latency]
            for share in tables.shares(result)
        ]
        yield ""
        yield from table_lines(["Backend", "Answers", "Share", "Latency"], rows)
    used = tables.usage_table(result)
    if used is not None:
        yield ""
        yield from table_lines(used.header, used.rows)
