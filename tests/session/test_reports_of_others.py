"""What a test has measured, in reports that are not ours, and in as much of ours as was asked."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.kit.components import needs

LOADS = """
import pytest

def test_good(winserve):
    winserve.probe()
    winserve.load(users=1, count=3)
    winserve.load(users=1, count=2)

def test_bad(winserve):
    winserve.load(users=1, count=3, path="/nowhere").require("error_rate < 1%", "rate > 0/s")

def test_plain():
    pass
"""
TORNADO = "--winserve-topology=tornado"


@pytest.fixture(autouse=True)
def _loads(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_loads=LOADS)


@needs("minutes")
def test_the_figures_are_in_junit_xml_of_workers_too(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess(TORNADO, "-n1", "--junitxml=junit.xml", "-k", "not bad")
    cases = ElementTree.parse(pytester.path / "junit.xml").getroot().iter("testcase")
    found = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in cases
    }
    assert found["test_plain"] == {}
    figures = found["test_good[tornado]"]
    assert list(figures) == [
        "winserve_topology", "winserve_host", "winserve_verdict", "winserve_blocked_fraction",
        *(
            f"winserve_{name}{after}"
            for after in ("", "_2")
            for name in ("rate", "p50", "p95", "p99", "error_rate", "unaccounted")
        ),
    ]  # fmt: skip
    assert figures["winserve_topology"] == "tornado"
    assert figures["winserve_host"] == "local"
    assert (figures["winserve_verdict"], figures["winserve_blocked_fraction"]) == (
        "blocking", "100%",
    )  # fmt: skip
    assert (figures["winserve_error_rate"], figures["winserve_unaccounted_2"]) == ("0%", "0")
    assert str(figures["winserve_p50"]).endswith("ms")


@needs("minutes")
def test_pytest_html_gets_the_charts_and_allure_the_figures(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess(
        TORNADO,
        "-p",
        "metadata",
        "-p",
        "html",
        "-p",
        "allure_pytest",
        "--html=report.html",
        "--self-contained-html",
        "--alluredir=allure",
        "-k",
        "good",
    )
    page = (pytester.path / "report.html").read_text(encoding="utf-8")
    data = re.search(r'data-jsonblob="([^"]*)"', page)
    assert data is not None
    ((test,),) = json.loads(html.unescape(data[1]))["tests"].values()
    (shown,) = (extra for extra in test["extras"] if extra["format_type"] == "html")
    assert shown["content"].startswith('<iframe title="tornado on local"')
    # A probe, and three charts of each load; within the frame's attribute all is quoted.
    assert shown["content"].count("&lt;svg class=&#34;chart&#34;") >= 3
    (file,) = (pytester.path / "allure").glob("*-result.json")
    parameters = json.loads(file.read_text(encoding="utf-8"))["parameters"]
    told = {each["name"]: each for each in parameters}
    assert told["winserve_verdict"]["value"] == "'blocking'"
    assert told["winserve_error_rate_2"]["value"] == "'0%'"
    assert all(each["excluded"] for name, each in told.items() if name != "winserve")


@needs("minutes")
def test_the_summary_keeps_to_the_options_of_pytest(pytester: pytest.Pytester) -> None:
    def told(*options: str) -> list[str]:
        done = pytester.runpytest_subprocess(TORNADO, "-k", "good", "--no-header", *options)
        assert done.ret == 0
        return [line.strip() for line in done.outlines]

    usual = told("--color=yes")
    assert any("winserve: topology tornado" in line for line in usual) is False
    assert any(line.startswith("\x1b[1mtornado on local: ") for line in usual)
    assert any("Highest" in line for line in usual)
    quiet = told("-q", "--color=no")
    assert any(line.startswith("tornado on local: ") for line in quiet)
    assert any(line.startswith("sent 3, answered 3, errors 0") for line in quiet)
    assert not any("Highest" in line for line in quiet)
    for options in (["-qq"], ["--no-summary"]):
        assert not any("tornado on local" in line for line in told(*options))


@needs("minutes")
def test_what_fails_a_run_is_told_without_a_summary_too(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess(
        TORNADO, "-k", "good", "--no-summary", "--winserve-require=capacity > 0"
    )
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["required capacity > 0: NEVER MEASURED"])


@needs("minutes")
def test_a_criterion_that_fails_stands_first_wherever_there_is_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    first = "CriterionFailed: error_rate < 1%: measured 100%; 1 of 2 criteria failed:"
    for style in ("short", "line"):
        done = pytester.runpytest_subprocess(TORNADO, "-k", "bad", "-rA", f"--tb={style}")
        done.stdout.fnmatch_lines([f"E   pytest_winserve.errors.{first}"])
        (summary,) = (line for line in done.outlines if line.startswith("FAILED "))
        assert "test_bad[tornado] - CriterionFailed: error_rate < 1%" in summary
        if style == "line":
            done.stdout.fnmatch_lines([f"*test_loads.py:9: {first}"])
        assert max(len(line) for line in done.outlines if line.startswith(("E ", "FAILED"))) <= 100
