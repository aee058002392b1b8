"""The id of a test: the same in each run that has the test, whatever else the run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.components import needs

pytest_plugins = ["pytester"]

SUITE = """
import pytest
def test_it(winserve): assert winserve.get("/test").ok
@pytest.mark.parametrize("winserve", ["nginx4-flask", "waitress:threads=4"], indirect=True)
@pytest.mark.winserve(host="local")
def test_own(winserve): pass
def test_plain(): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    path: Path = pytester.path / "test_shop.py"
    path.write_text(SUITE)
    return path


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    done = pytester.runpytest_subprocess("--co", "-q", *arguments)
    assert done.ret == 0, done.stdout.str() + done.stderr.str()
    return [line.partition("::")[2] for line in done.outlines if "::" in line]


@needs("minutes")
@pytest.mark.usefixtures("suite")
def test_neither_spelling_nor_another_host_or_topology_changes_an_id(
    pytester: pytest.Pytester,
) -> None:
    usual = ["test_it[nginx4]", "test_own[nginx4]", "test_own[waitress]", "test_plain"]
    assert collected(pytester) == usual
    spelled = collected(pytester, "--winserve-topology=nginx4-flask:threaded=true,nginx4")
    assert spelled == usual
    for hosts in ("local,wine", "wine,local"):
        both = collected(pytester, f"--winserve-host={hosts}")
        assert sorted(both) == sorted([*usual, "test_it[wine-nginx4]"])
    assert collected(pytester, "--winserve-host=wine", "-k", "test_it") == ["test_it[wine-nginx4]"]
    more = collected(pytester, "--winserve-topology=tornado,nginx4", "-k", "test_it")
    assert sorted(more) == ["test_it[nginx4]", "test_it[tornado]"]


@needs("minutes")
@pytest.mark.usefixtures("suite")
def test_an_id_selects_its_test(pytester: pytest.Pytester) -> None:
    run = ("--winserve-topology=nginx4,tornado:threads=2", "--winserve-host=local,wine")
    every = collected(pytester, *run)
    for name in ("test_it[nginx4]", "test_it[wine-tornado:threads=2]"):
        assert collected(pytester, *run, f"test_shop.py::{name}") == [name]
        left = collected(pytester, *run, f"--deselect=test_shop.py::{name}")
        assert left == [other for other in every if other != name]
    assert collected(pytester, *run, "-k", "wine-nginx4") == ["test_it[wine-nginx4]"]
    assert collected(pytester, *run, "-k", "tornado and not wine") == ["test_it[tornado:threads=2]"]
    (pytester.path / "wanted.txt").write_text("\n".join(f"test_shop.py::{each}" for each in every))
    assert collected(pytester, *run, "@wanted.txt") == every


@needs("minutes")
def test_what_failed_in_one_run_is_found_in_the_next(
    pytester: pytest.Pytester, suite: Path
) -> None:
    suite.write_text('def test_it(winserve): assert str(winserve.topology) != "waitress"\n')
    first = pytester.runpytest_subprocess("--winserve-topology=tornado,waitress")
    first.assert_outcomes(passed=1, failed=1)
    # Spelled otherwise, in another order, and with a host beside it.
    later = ("--winserve-topology=waitress:threads=4,tornado", "--winserve-host=wine,local")
    assert collected(pytester, *later, "--lf") == ["test_it[waitress]"]
    again = pytester.runpytest_subprocess("--winserve-topology=waitress,tornado", "--sw")
    again.assert_outcomes(failed=1)
    assert collected(pytester, "--winserve-topology=tornado,waitress", "--sw") == [
        "test_it[waitress]"
    ]


@needs("minutes")
def test_a_group_of_xdist_is_no_part_of_an_id_in_the_results(
    pytester: pytest.Pytester, suite: Path
) -> None:
    suite.write_text(
        """
import pytest
def test_it(winserve): pass
@pytest.mark.xdist_group("mine")
def test_grouped(winserve): pass
@pytest.mark.xdist_group("mine")
def test_plain(): pass
"""
    )
    done = pytester.runpytest_subprocess(
        "-v", "-n", "2", "--dist=loadgroup", "--winserve-topology=tornado",
        "--winserve-report=out",
    )  # fmt: skip
    done.assert_outcomes(passed=3)
    tests = read_json(pytester.path / "out" / "results.json")["tests"]
    assert sorted(test["nodeid"] for test in tests) == [
        "test_shop.py::test_grouped[tornado]", "test_shop.py::test_it[tornado]",
    ]  # fmt: skip
