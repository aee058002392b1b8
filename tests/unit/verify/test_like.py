"""Which of the earlier results a site is held against, and what is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.compare.comparison import ComparisonRules
from pytest_winserve.errors import UsageError
from pytest_winserve.load.plan import Plan
from pytest_winserve.report.record import Record
from pytest_winserve.report.store import write_json
from pytest_winserve.verify.like import held_against, measured
from tests.kit.results import Make, load

URL = "http://127.0.0.1:8080"
RULES = ComparisonRules(0.1)


def written(folder: Path, *tests: dict[str, Any]) -> str:
    write_json(folder / "results.json", Make().data(*tests))
    return str(folder)


def loads(*rates: float) -> list[dict[str, Any]]:
    return [load(rate, 10_000 / rate) for rate in rates]


def now(*rates: float, **keys: Any) -> Record:
    return Record.from_dict(Make().test(URL, results=loads(*rates), **keys))


def test_a_site_that_is_as_measured_and_one_that_is_slower(tmp_path: Path) -> None:
    make = Make()
    probed: dict[str, Any] = {"verdicts": [make.verdict()], "capacities": [make.capacity(16)]}
    before = measured(
        written(
            tmp_path,
            make.test("nginx4-waitress", **probed),  # as of a check
            make.test("nginx4-waitress", results=loads(1000, 1010, 990)),
        ),
        None,
    )
    assert before.slow == "/sleep?seconds=1"
    same = held_against(before, now(1005, 995, 1000, **probed), RULES)
    assert not same.failed(strict=True)
    slower = held_against(before, now(700, 710, 690, **probed), RULES)
    assert "rate" in [row.measure for _, row in slower.having("worse")]
    fewer = probed | {"capacities": [make.capacity(4)]}
    found = held_against(before, now(1005, 995, 1000, **fewer), RULES)
    assert [row.measure for _, row in found.having("worse")] == ["capacity"]


def test_what_was_held_by_the_lab_is_not_asked_again(tmp_path: Path) -> None:
    make = Make()
    parts: dict[str, Any] = {
        "verdicts": [make.verdict(slow="/ (held 1 s)")],
        "capacities": [make.capacity(16)],
    }
    before = measured(
        written(tmp_path, make.test("nginx4-waitress", results=loads(1000, 1010), **parts)), None
    )
    assert before.slow is None
    found = held_against(before, now(1005, 995), RULES)
    assert found.notes == (
        "not asked again: whether / (held 1 s) blocks /test",
        "not asked again: how many requests run at once (16 when measured)",
    )


def test_which_topology_must_be_said_when_there_are_several(tmp_path: Path) -> None:
    tests = [Make().test(name, results=loads(1000)) for name in ("waitress", "nginx4-waitress")]
    place = written(tmp_path, *tests)
    with pytest.raises(UsageError, match=r"which of its topologies .*: waitress, nginx4"):
        measured(place, None)
    with pytest.raises(UsageError, match="no load of tornado in it; there are: waitress, nginx4"):
        measured(place, "tornado")
    assert str(measured(place, "nginx4-waitress").topology) == "nginx4-waitress"


def test_a_file_without_a_load_of_a_topology(tmp_path: Path) -> None:
    place = written(tmp_path, Make().test(URL, results=loads(1000)), Make().test("waitress"))
    with pytest.raises(UsageError, match="there is no load of a topology in it"):
        measured(place, None)


def test_a_load_with_secrets_is_not_sent_again_without_them(tmp_path: Path) -> None:
    plan = Plan.make(users=5, duration=2, path="/").with_headers({"Cookie": "(not shown)"})
    test = Make().test("waitress", results=[Make().result(plan=plan)])
    with pytest.raises(UsageError, match="values that are secrets"):
        _ = measured(written(tmp_path, test), None).plan
