"""What is shown of the article's experiments: the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from pytest_winserve.article import html as page
from pytest_winserve.article.experiments import EXPERIMENTS
from pytest_winserve.article.outcome import Made, Outcome, refuses, shown
from pytest_winserve.article.text import render, render_markdown
from pytest_winserve.report.record import Record
from tests.kit.results import Make

LINUX = "Linux-6.1-x86_64-with-glibc2.36"


def records(make: Make) -> dict[str, Record]:
    made = {}
    for one in EXPERIMENTS:
        measured = (
            {"verdicts": [make.verdict(blocked=8 if one.name == "tornado" else 0)]}
            if one.is_probe
            else {"results": [make.result(outcomes={"200": 3000, "502": 24, "refused": 3})]}
        )
        made[one.name] = Record.from_dict(make.test(one.topology, **measured))
    return made


def outcome(make: Make, system: str = LINUX) -> Outcome:
    return Outcome.of(Made(500, 12, records(make), {}), system)


def test_three_forms_show_the_same(make: Make) -> None:
    made = outcome(make)
    text = " ".join(render(made).split())
    markdown = render_markdown(made).replace("\\", "")
    shown_page = html.unescape(re.sub(r"<[^>]+>", " ", page.render(made)))
    for statement, judgement in made.judged:
        for form in (text, markdown, " ".join(shown_page.split())):
            assert statement.text in form
            assert judgement.reason in form
    for form in (markdown, shown_page):
        for table in (made.probes, made.loads):
            assert all(cell in form for row in table.rows for cell in row)
        assert all(words in form for words in made.differences)


def test_the_terminal_has_80_columns_and_ascii(make: Make) -> None:
    text = render(outcome(make))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert "nginx4-tornado 1000: published" in text
    assert "nginx4-tornado 1000: measured" in text


def test_the_page_loads_nothing_and_has_the_charts(make: Make) -> None:
    text = page.render(outcome(make))
    assert "<script" not in text
    assert not re.search(r"(src|href)=", text)
    assert text.count('<svg class="chart"') == 3
    assert "nginx1 500: published 200, measured" in html.unescape(text)


@pytest.mark.parametrize(
    ("system", "does"),
    [
        ("Windows-10-10.0.19043-SP0", True),
        ("Windows-10-10.0.19043-SP0 (Wine 8.0)", False),
        (LINUX, False),
        ("macOS-14.5-arm64-arm-64bit", False),
    ],
)
def test_who_refuses_a_connect(make: Make, system: str, does: bool) -> None:
    assert refuses(system) is does
    assert (
        any("Only Windows refuses" in words for words in outcome(make, system).differences) != does
    )


def test_what_failed_is_told_and_the_rest_is_shown(make: Make) -> None:
    known = records(make)
    del known["nginx4-1000"]
    made = Outcome.of(Made(20, 3, known, {"nginx4-1000": "nginx is missing"}), LINUX)
    assert "nginx4-1000 could not be measured: nginx is missing" in made.differences
    assert "20 and 40 users instead of 500 and 1000." in made.differences
    assert "6 experiments of 7 were made." in made.differences
    assert ("nginx4 40: measured", "-", "-", "-", "-", "-") in made.loads.rows
    assert [one.held for _, one in made.judged][6:8] == [None, None]
    assert page.render(made).count('<svg class="chart"') == 3


def test_nothing_was_measured(make: Make) -> None:
    made = Outcome.of(Made(500, 12, {}, {}), LINUX)
    assert {one.held for _, one in made.judged} == {False, None}
    assert page.render(made)


def test_a_limited_load_is_named(make: Make) -> None:
    known = records(make)
    result = known["flask-500"].results[0]
    limited = replace(result.result.generator, limited_by="generator-cpu")
    slow = replace(result, result=replace(result.result, generator=limited))
    known["flask-500"] = replace(known["flask-500"], results=(slow,))
    made = Outcome.of(Made(500, 12, known, {}), LINUX)
    assert any("flask-500: LIMITED BY THE LOAD GENERATOR" in words for words in made.differences)


def test_an_experiment_in_a_sentence(make: Make) -> None:
    known = records(make)
    assert shown(known["tornado"]).startswith("BLOCKS: 8 of 8")
    assert shown(known["flask-500"]).startswith("sent 3027, answered 3024, errors 27")


def test_a_site_that_did_not_stop_well_is_told_beside_its_figures(make: Make) -> None:
    made = Outcome.of(Made(500, 12, records(make), {"flask-500": "flask did not stop"}), LINUX)
    assert "flask-500 did not end well: flask did not stop" in made.differences
    assert not any("experiments of 7" in words for words in made.differences)
