"""The typed record: the JSON as it always was, and files of an earlier version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.compare.comparison import ComparisonRules
from pytest_winserve.compare.sides import compare
from pytest_winserve.errors import UsageError
from pytest_winserve.report import html, markdown, terminal
from pytest_winserve.report.blocks import Report
from pytest_winserve.report.measurements import VerdictRecord
from pytest_winserve.report.record import NotTried, Record, RunRecord
from pytest_winserve.report.store import read_json, read_run
from tests.kit.results import Make, report_on, run_of

EARLIER = Path(__file__).with_name("results_of_0_1_0.json")
"""What version 0.1.0 wrote before records were typed, for `winserve check nginx2`."""


def as_json(value: object) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(value))


def test_a_file_of_an_earlier_version_is_read_and_written_as_it_was() -> None:
    run = read_run(EARLIER)
    # To the letter, the order of the keys as well.
    text = json.dumps(run.to_dict(), ensure_ascii=False, separators=(",", ":"))
    assert text + "\n" == EARLIER.read_text("utf-8")
    answers, probe, capacity, load = run.records
    assert [record.outcome for record in run.records] == ["passed"] * 4
    assert (answers.server, answers.behind, answers.declared) == ("flask", "nginx2", None)
    (verdict,), (counted,), (loaded,) = probe.verdicts, capacity.capacities, load.results
    assert verdict.non_blocking
    assert [request.backend for request in verdict.fast_requests] == [1, 0, 1, 0]
    assert (counted.shown, counted.as_declared) == (">= 64", True)
    assert loaded.result.outcomes == {"200": loaded.result.sent}
    assert [check.criterion for check in loaded.checks] == ["error_rate < 1%", "p95 < 10s"]
    assert [requirement.evaluated for requirement in run.requirements] == [1, 1, 1]


def test_a_report_on_a_file_of_an_earlier_version() -> None:
    run = read_run(EARLIER)
    report = Report.of(run)
    (block,) = report.blocks
    assert block.outcomes == "4 passed"
    forms = (terminal.render(report), markdown.render(report), html.render(report))
    for text in (" ".join(form.split()) for form in forms):
        assert "does not block: all 4 fast requests were answered" in text
        assert "runs at least 64 requests at once; no bound declared" in text
        assert f"sent {block.loads[0].result.sent}, answered" in text
    assert compare([run], [run], ComparisonRules()).groups


def test_what_only_some_records_have_is_left_out_of_the_others(make: Make) -> None:
    """A load of a URL has no server, and only a comparison has sides."""
    plain = Record("winserve load", "passed", "http://127.0.0.1:1", "-", "-", "unknown")
    assert list(plain.to_dict()) == [
        "nodeid", "outcome", "topology", "host", "app", "declared", "verdicts", "capacities",
        "results", "events",
    ]  # fmt: skip
    served = replace(plain, server="flask", behind=None)
    assert (served.to_dict()["server"], served.to_dict()["behind"]) == ("flask", None)
    for more in (
        {"side": "A", "pair": 1},
        {"round": 0, "trouble": []},
        {"round": 3, "error": "StartError", "trouble": ["did not start: no"]},
        {"machine": {"os": "Windows", "versions": {}}},
    ):
        test = make.full(server="flask", behind="nginx4", **more)
        assert as_json(Record.from_dict(test).to_dict()) == test


def test_a_run_is_the_same_after_a_file(make: Make) -> None:
    data = make.data(
        make.full(),
        make.test("tornado", outcome="error", events=["did not start: no"]),
        requirements=[{"criterion": "p95 < 1s", "evaluated": 0, "failed": 0}],
        left_out=[NotTried("local", "gevent", "missing", "no such", "pip").to_dict()],
        recommendation=["RECOMMENDED: nginx4"],
    )
    assert as_json(run_of(data).to_dict()) == data
    assert RunRecord.from_dict(as_json(run_of(data).to_dict())) == run_of(data)


def test_the_criteria_of_a_record_in_the_order_of_its_measurements(make: Make) -> None:
    names = ("non_blocking == 1", "capacity > 1", "p95 < 1s")
    first, second, third = ([make.check(name)] for name in names)
    test = make.full(
        results=[make.result(checks=third)],
        capacities=[make.capacity(checks=second)],
        verdicts=[make.verdict(checks=first)],
    )
    assert tuple(check.criterion for check in Record.from_dict(test).checks) == names
    (block,) = report_on(make.data(test)).blocks
    assert tuple(check.criterion for check in block.checks) == names


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ({"verdicts": [{"slow": "/"}]}, "verdict"),
        ({"verdicts": [None]}, "verdict"),
        ({"capacities": ["four"]}, "capacity"),
        ({"results": [{"checks": []}]}, "result"),
    ],
)
def test_a_damaged_measurement_names_its_test(
    make: Make, damage: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=rf"a {what} of tests/test_shop\.py::.* cannot be read"):
        Record.from_dict(make.test(**damage))


def test_what_a_report_does_not_know_is_passed_over(make: Make) -> None:
    """A later version may write more of a measurement."""
    test = make.full(verdicts=[make.verdict(more=1)], more="of it")
    assert Record.from_dict(test).verdicts[0].fast_count == 8
    assert read_json(EARLIER)["tests"][0] == as_json(read_run(EARLIER).records[0].to_dict())


def test_the_waits_of_a_probe_are_read_back(make: Make) -> None:
    waits = {"delayed_fraction": 0.5, "idle_seconds": [0.002, 0.001], "wait_seconds": [0.604, 0.0]}
    data = make.verdict(blocked=1, fast=2, **waits)
    verdict = VerdictRecord.from_dict(data)
    assert verdict.to_dict() == data
    assert (verdict.delayed_fraction, verdict.wait_seconds) == (0.5, (0.604, 0.0))
    older = VerdictRecord.from_dict(make.verdict())
    assert (older.delayed_fraction, older.idle_seconds, older.wait_seconds) == (0.0, (), ())
    assert not older.to_dict().keys() & waits.keys()


def test_every_form_tells_how_long_fast_requests_waited(make: Make) -> None:
    verdict = make.verdict(
        blocked=1, fast=2, delayed_fraction=0.5,
        idle_seconds=[0.002, 0.001], wait_seconds=[0.604, 0.0],
    )  # fmt: skip
    report = report_on(make.data(make.test(verdicts=[verdict])))
    for form in (terminal.render(report, width=300), markdown.render(report), html.render(report)):
        text = " ".join(form.split())
        assert "had to wait for /sleep?seconds=1, up to 604 ms (backend 0: 1)" in text
        assert "/test when idle: median 1.50 ms, max 2.00 ms" in text
        assert "waited beyond that: up to 604 ms" in text
        assert (
            "50 % were answered before /sleep?seconds=1, but waited for more than a fifth" in text
        )


def test_that_nothing_waited_is_not_told(make: Make) -> None:
    verdict = make.verdict(fast=2, idle_seconds=[0.002, 0.001], wait_seconds=[0.0, 0.0])
    text = terminal.render(report_on(make.data(make.test(verdicts=[verdict]))), width=300)
    assert "/test when idle: median 1.50 ms" in text
    assert "waited beyond that" not in text
