"""report.html: one file with everything in it, for a browser that has no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pytest_winserve.report import charts, declared, findings, numbers, overview, tables
from pytest_winserve.report.blocks import blocks

_EVENT_LINES = 200


def render(data: Mapping[str, Any]) -> str:
    """The content of results.json as a HTML page: no script, nothing loaded from anywhere."""
    environment = Environment(
        loader=PackageLoader("pytest_winserve.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tests = blocks(data)
    return environment.get_template("report.html.j2").render(
        data=data,
        blocks=tests,
        declared=declared,
        comparison=overview.comparison(tests),
        environment_rows=tables.environment_rows(data),
        event_lines=_EVENT_LINES,
        charts=charts,
        findings=findings,
        numbers=numbers,
        overview=overview,
        tables=tables,
    )
