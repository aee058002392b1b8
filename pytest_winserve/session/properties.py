"""What a test has measured, for the reports of others: `user_properties`, which are in JUnit XML,
parameters of Allure, and the charts for pytest-html.

A value is written as in a criterion. A figure that was not measured says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import pytest

from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.numbers import NOT_MEASURED
from pytest_winserve.session.recorder import Recorder

PREFIX = "winserve_"
FIGURES = ("rate > 0/s", "p50 < 1ms", "p95 < 1ms", "p99 < 1ms", "error_rate < 1%",
           "unaccounted == 0")  # fmt: skip
"""A criterion for each figure of a load: its unit is the one that the figure is shown in."""


def properties_of(recorders: Sequence[Recorder]) -> list[tuple[str, str]]:
    """The properties of a test, by name. Those of its second site begin with `winserve_2_`, those
    of a second probe, capacity or load end in `_2`."""
    found: list[tuple[str, str]] = []
    for number, recorder in enumerate((each for each in recorders if each.wanted), 1):
        before = PREFIX if number == 1 else f"{PREFIX}{number}_"
        found += [(f"{before}{name}", value) for name, value in _of_site(recorder)]
    return found


def _of_site(recorder: Recorder) -> Iterator[tuple[str, str]]:
    yield "topology", str(recorder.site.topology)
    yield "host", recorder.site.host
    for after, verdict in _numbered(recorder.verdicts):
        shown = "non_blocking" if verdict.non_blocking else "blocking"
        yield f"verdict{after}", shown
        yield f"blocked_fraction{after}", f"{100 * verdict.blocked_fraction:.3g}%"
    for after, capacity in _numbered(recorder.capacities):
        yield f"capacity{after}", capacity.shown
    for after, load in _numbered(recorder.results):
        for name, value in _figures(load.result):
            yield f"{name}{after}", value


def _numbered(measured: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for number, each in enumerate(measured, 1):
        yield "" if number == 1 else f"_{number}", each


def _figures(result: Result) -> Iterator[tuple[str, str]]:
    for criterion in map(Criterion.parse, FIGURES):
        value, _ = result.metric(criterion.metric)
        yield criterion.metric, NOT_MEASURED if value is None else criterion.show(value)


def tell_others(item: pytest.Item, recorders: Sequence[Recorder]) -> None:
    """Put the properties of a test's last attempt where others look for them."""
    properties = properties_of(recorders)
    item.user_properties[:] = [
        *(
            (name, value)
            for name, value in item.user_properties
            if not str(name).startswith(PREFIX)
        ),
        *properties,
    ]
    if properties and item.config.pluginmanager.has_plugin("allure_listener"):
        # By name: it is there, since its plugin is, and it is no dependency of this package.
        allure: Any = import_module("allure")
        for name, value in properties:
            # Excluded from what makes a test the same as in an earlier run.
            allure.dynamic.parameter(name, value, excluded=True)


def add_charts(
    config: pytest.Config, report: pytest.TestReport, recorders: Sequence[Recorder]
) -> None:
    """Give pytest-html, where it writes a report, the charts of what a test has measured."""
    if not getattr(config.option, "htmlpath", None):
        return
    from pytest_winserve.report.html import framed

    html: Any = import_module("pytest_html")
    shown = [
        html.extras.html(framed(recorder.record(report.nodeid, report.outcome)))
        for recorder in recorders
        if recorder.measured_any
    ]
    # pytest-html looks for them there; another plugin may have done so before.
    report.extras = [*getattr(report, "extras", []), *shown]  # type: ignore[attr-defined]
