"""report.html: one file with everything in it, for a browser that has no network."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from pytest_winserve.report import charts, declared, findings, numbers, overview, tables
from pytest_winserve.report.blocks import Report

_EVENT_LINES = 200


def render(report: Report) -> str:
    """A run as a HTML page: no script, nothing loaded from anywhere."""
    environment = Environment(
        loader=PackageLoader("pytest_winserve.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
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
