"""report.html and its charts: whole, self-contained, escaped, and readable without seeing it."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Second
from pytest_winserve.report import charts, html
from pytest_winserve.report.measurements import VerdictRecord
from tests.kit.results import Make, histogram, report_on

EVIL = "<script>alert(1)</script>\n\"'|`&amp;<img src=x onerror=y>" + "/a-b" * 60

_VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps them and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def _html(data: dict[str, Any]) -> str:
    return html.render(report_on(data))


def _data(make: Make, evil: str) -> dict[str, Any]:
    check = make.check(evil, passed=False, measured=evil, reason=evil)
    test = make.full(
        evil,
        nodeid=evil,
        host=evil,
        app=evil,
        verdicts=[make.verdict(blocked=2, slow=evil, fast=8), make.verdict(fast=0)],
        capacities=[make.capacity(how=evil)],
        results=[make.result(checks=[check], engine=evil), make.result(outcomes={})],
        events=[evil, f"died\n{evil}"],
    )
    requirements = [{"criterion": evil, "evaluated": 1, "failed": 1}]
    data = make.data(test, make.full("flask"), requirements=requirements, created=evil)
    data["environment"] |= {"os": evil, "versions": {evil: evil}, "hosts": [evil]}
    return data


@pytest.mark.parametrize("evil", [EVIL, "nginx4"])
def test_the_page_is_whole_and_loads_nothing(make: Make, evil: str) -> None:
    text = _html(_data(make, evil))
    page = Page(text)
    assert page.all("script", "link", "img", "iframe", "object", "base") == []
    assert all(href["href"] == "#site-1" or href["href"] == "#site-2" for href in page.all("a"))
    assert not any(
        name in ("src", "srcset", "style") or name.startswith("on")
        for _, attributes in page.elements
        for name in attributes
    )
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_hostile_text_is_shown_as_text(make: Make) -> None:
    data = make.data(make.full(EVIL, nodeid=EVIL, app=EVIL, host=EVIL, events=[f"x\n{EVIL}"]))
    page = Page(_html(data))
    assert f"{EVIL} on {EVIL}" in page.text
    assert page.text.count("<script>alert(1)</script>") >= 5


@pytest.mark.parametrize("evil", [EVIL, "nginx4"])
def test_every_name_is_unique_and_every_reference_has_its_target(make: Make, evil: str) -> None:
    page = Page(_html(_data(make, evil)))
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    references = [
        name
        for _, attributes in page.elements
        for name in (attributes.get("aria-labelledby") or "").split()
    ] + [(attributes["href"] or "")[1:] for attributes in page.all("a")]
    assert references
    assert set(references) <= set(names)


def test_tables_and_charts_can_be_heard(make: Make) -> None:
    page = Page(_html(_data(make, "nginx4")))
    assert page.all("th")
    assert all(cell.get("scope") in ("row", "col") for cell in page.all("th"))
    drawings = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    # Three probes, and two loads that have something to draw, with three charts each.
    assert len(drawings) == 9
    assert all(svg["role"] == "img" and svg["aria-labelledby"] for svg in drawings)
    assert all("tabindex" in area for area in page.all("div") if area.get("class") == "scroll")


def test_an_empty_run_says_so(make: Make) -> None:
    page = Page(_html(make.data()))
    assert "No test used a site." in page.text
    assert "8.0 GiB" in page.text
    assert page.all("svg") == []


def test_nothing_measured_is_said_and_drawn_as_nothing(make: Make) -> None:
    tests = [make.full(results=[make.result(outcomes={}, ledger=None)]), make.test("flask")]
    page = Page(_html(make.data(*tests)))
    assert page.text.count("not measured") >= 12
    assert "0 %" not in page.text
    assert len(page.all("svg")) == 1  # the probe of the first


def _svg(drawn: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawn)


def _marks(svg: ElementTree.Element, css: str) -> list[ElementTree.Element]:
    return [element for element in svg.iter() if element.get("class") == css]


def test_the_probe_chart_has_a_mark_per_request(make: Make) -> None:
    svg = _svg(charts.probe_chart("x", VerdictRecord.from_dict(make.verdict(blocked=2, fast=8))))
    assert len(_marks(svg, "slow")) == 1
    assert len(_marks(svg, "blocked")) == 2
    assert len(_marks(svg, "fast")) == 6
    titles = [mark.findtext("title") for mark in _marks(svg, "blocked")]
    assert titles[0] == (
        "fast request, blocked: 1.01 s (status 200, backend 0, pid 4711, thread 140)"
    )
    assert "of which 2 had to wait" in (svg.findtext("desc") or "")
    slow = _marks(svg, "slow")[0]
    end = float(slow.get("x", "")) + float(slow.get("width", ""))
    crossed = [
        float(re.findall(r"[\d.]+", mark.get("d", ""))[0]) for mark in _marks(svg, "blocked")
    ]
    assert all(x + 5 > end for x in crossed)
    assert all(float(mark.get("cx", "")) < end for mark in _marks(svg, "fast"))


def test_requests_that_name_nobody_are_drawn(make: Make) -> None:
    nobody = {"backend": None, "pid": None, "thread": None, "status": None}
    requests = [make.request(0.0, **nobody), make.request(0.0)]
    verdict = make.verdict(fast_requests=requests, slow_requests=[make.request(0.0, **nobody)])
    svg = _svg(charts.probe_chart("x", VerdictRecord.from_dict(verdict)))
    assert [mark.findtext("title") for mark in _marks(svg, "fast")] == [
        "fast request, not blocked: 0.00 ms (status 200, backend 0, pid 4711, thread 140)",
        "fast request, not blocked: 0.00 ms",
    ]


def test_the_rate_chart_has_a_bar_per_second(make: Make) -> None:
    svg = _svg(charts.rate_chart("x", Result.from_dict(make.result())))
    assert len(_marks(svg, "good")) == 12
    assert len(_marks(svg, "bad")) == 12
    assert "with 70 errors" in (svg.findtext("desc") or "")


def _result(make: Make, timeline: list[Second], **fields: Any) -> Result:
    return Result.from_dict(make.result(timeline=tuple(timeline), **fields))


def test_one_error_among_thousands_is_seen(make: Make) -> None:
    seconds = [Second(at=i, finished=5000, outcomes={"200": 5000}) for i in range(3)]
    seconds[1] = Second(at=1, finished=5001, outcomes={"200": 5000, "502": 1})
    svg = _svg(charts.rate_chart("x", _result(make, seconds)))
    (bar,) = _marks(svg, "bad")
    assert float(bar.get("height", "")) >= 2


def test_a_long_load_is_drawn_in_groups_of_seconds(make: Make) -> None:
    seconds = [Second(at=i, finished=3, outcomes={"200": 2, "refused": 1}) for i in range(1000)]
    svg = _svg(charts.rate_chart("x", _result(make, seconds)))
    assert len(_marks(svg, "good")) == 91  # 90 of 11 seconds, and what is left
    assert "in 1000 seconds with 1000 errors" in (svg.findtext("desc") or "")


def test_seconds_in_which_nothing_ended_leave_a_gap(make: Make) -> None:
    seconds = [Second(at=i, finished=1, outcomes={"200": 1}) for i in (0, 9)]
    svg = _svg(charts.rate_chart("x", _result(make, seconds)))
    heights = [float(bar.get("height", "")) > 0 for bar in _marks(svg, "good")]
    assert heights == [True, *[False] * 8, True]


def test_a_curve_ends_where_samples_are_few(make: Make) -> None:
    assert charts.latency_chart("x", Result.from_dict(make.result(outcomes={"200": 9}))) == ""
    svg = _svg(charts.latency_chart("x", Result.from_dict(make.result(outcomes={"200": 1000}))))
    labels = {text.text for text in svg.iter("text")}
    assert "99" in labels
    assert "99.9" not in labels
    assert "99 % within" in (svg.findtext("desc") or "")
    assert len(_marks(svg, "curve total")) == 1


def test_what_was_not_measured_has_no_curve(make: Make) -> None:
    result = make.result(unmeasured=frozenset({"connect"}), first_byte=histogram())
    svg = _svg(charts.latency_chart("x", Result.from_dict(result)))
    assert [len(_marks(svg, f"curve {name}")) for name in ("total", "first_byte", "connect")] == [
        *(1, 0, 0)
    ]


def test_quantiles_over_time_are_drawn_where_samples_are_enough(make: Make) -> None:
    few, some, many = (histogram(*[0.1] * n) for n in (9, 200, 1000))
    seconds = [Second(at, total=part) for at, part in enumerate((some, few, some, many))]
    svg = _svg(charts.quantile_chart("x", _result(make, seconds)))
    # p50 is broken once, p95 as well, and p99 is a dash of one second.
    lines = [len(_marks(svg, f"curve {name}")) for name in ("p50", "p95", "p99")]
    assert lines == [2, 2, 1]
    assert "p99 from 100 ms to 100 ms" in (svg.findtext("desc") or "")
    assert charts.quantile_chart("x", _result(make, [Second(0, total=few)])) == ""
    # A file that has sums only, of tsung or from before.
    assert charts.quantile_chart("x", _result(make, [Second(0, total_count=900)])) == ""


def test_equal_answers_make_a_level_curve(make: Make) -> None:
    zero = histogram(*[0.0] * 100)
    result = make.result(total=zero, first_byte=zero, connect=zero)
    assert _svg(charts.latency_chart("x", Result.from_dict(result))).findtext("title")


@pytest.mark.parametrize("evil", [EVIL, "\x00\x1b"])
def test_text_in_a_chart_is_escaped(make: Make, evil: str) -> None:
    requests = [make.request(1.0, backend=None, status=evil)]
    drawn = charts.probe_chart("x", VerdictRecord.from_dict(make.verdict(fast_requests=requests)))
    assert "<script" not in drawn
    assert "<img" not in drawn


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_ticks_are_round_and_cover(highest: float) -> None:
    made = charts.ticks(highest)
    assert made[0] == 0
    assert made[-1] >= highest * (1 - 1e-5)
    assert 2 <= len(made) <= 6
    step = made[1]
    mantissa = step / 10.0 ** math.floor(math.log10(step * 1.0001))
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6


def test_ticks_of_nothing() -> None:
    assert charts.ticks(0) == [0.0, 1.0]


def test_a_share_is_drawn_from_its_fraction() -> None:
    assert 'width="25.0"' in charts.share_bar(0.25)
    assert 'width="0.0"' in charts.share_bar(0.0)
    assert charts.share_bar(None) == charts.share_bar(0)
