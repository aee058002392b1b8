"""report.html: one file with everything in it, for a browser that has no network."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_winserve.report import charts, declared, findings, numbers, overview, tables
from pytest_winserve.report.blocks import Report, SiteBlock
from pytest_winserve.report.record import Record

_EVENT_LINES = 200


def render(report: Report) -> str:
    """A run as a HTML page: no script, nothing loaded from anywhere."""
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            run=report.run,
            blocks=report.blocks,
            declared=declared,
            comparison=overview.comparison(report.blocks),
            environment_rows=tables.environment_rows(report.run),
            event_lines=_EVENT_LINES,
            charts=charts,
            findings=findings,
            numbers=numbers,
            overview=overview,
            tables=tables,
        )
    )


def framed(record: Record) -> str:
    """What one test has measured on one site, with its charts, as an element for another HTML page:
    a frame, so that neither page's style is the other's."""
    block = SiteBlock.of(record.host, record.topology, record.app, [record])
    page = (
        _templates()
        .get_template("test.html.j2")
        .render(block=block, charts=charts, findings=findings)
    )
    style = "width: 100%; height: 32rem; border: 0; resize: vertical; overflow: auto"
    title = f"{record.topology} on {record.host}"
    return str(
        Markup('<iframe title="{}" style="{}" srcdoc="{}"></iframe>').format(title, style, page)
    )


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("pytest_winserve.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
