"""The outcome for a terminal (ASCII, like the summary of a run) and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pytest_winserve.article.outcome import Outcome
from pytest_winserve.report.markdown import escape, table_lines
from pytest_winserve.report.terminal import clean, table

TITLE = "The article's experiments, published and measured"


def render(outcome: Outcome, *, width: int = 80) -> str:
    """Lines of at most `width` characters; ends with a newline."""
    return "".join(line + "\n" for line in _lines(outcome, width))


def _lines(outcome: Outcome, width: int) -> Iterator[str]:
    for part in (outcome.probes, outcome.loads):
        yield part.caption
        yield from table(part.header, part.rows, width)
        yield ""
    yield "The article's statements"
    for number, (statement, judgement) in enumerate(outcome.judged, 1):
        yield from _wrapped(f"{number}. {statement.text}", width, "", "   ")
        mark = {True: "HELD", False: "DID NOT HOLD", None: "CANNOT BE TOLD HERE"}[judgement.held]
        yield from _wrapped(f"{mark}: {judgement.reason}", width, "   ", "   ")
    yield ""
    yield "What is different here"
    for text in outcome.differences:
        yield from _wrapped(text, width, "- ", "  ")


def _wrapped(text: str, width: int, first: str, more: str) -> list[str]:
    return textwrap.wrap(
        clean(text), width, initial_indent=first, subsequent_indent=more, break_on_hyphens=False
    )


def render_markdown(outcome: Outcome) -> str:
    """The same as Markdown."""
    lines = [f"# {TITLE}", "", f"Served by {escape(outcome.system)}.", ""]
    for part in (outcome.probes, outcome.loads):
        lines += [f"## {escape(part.caption)}", "", *table_lines(part.header, part.rows), ""]
    lines += ["## The article's statements", ""]
    rows = [(s.text, j.word, j.reason) for s, j in outcome.judged]
    lines += [*table_lines(("statement", "here", "why"), rows, texts=3), ""]
    lines += ["## What is different here", ""]
    lines += [f"- {escape(text)}" for text in outcome.differences]
    return "\n".join(lines) + "\n"
