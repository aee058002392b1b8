"""A test that is run several times, by the plugins that do so: a result for each load that was
sent, with the outcome of its own run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.commands import PYTEST_OPTIONS, Start, run_pytest
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.processes import signal_group

pytestmark = needs("minutes")

pytest_plugins = ["pytester"]

# Fails when it runs for the first time.
SECOND = """
runs = []
def test_it(winserve):
    runs.append(1)
    winserve.load(users=1, count=len(runs), path="/none" if len(runs) == 1 else "/test")
def test_other(winserve): winserve.load(users=1, count=7)
"""
SETTINGS = (
    "--winserve-topology=tornado", "--winserve-report=out", "--winserve-require=error_rate == 0%",
)  # fmt: skip
RERUN = ("-p", "rerunfailures", "--reruns=2")
RETRY = ("-p", "pytest-retry", "--retries=2")
FLAKY = ("-p", "flaky", "--force-flaky", "--no-flaky-report")


def sent(folder: Path) -> list[tuple[str, str, list[int]]]:
    """Of each record: the test, its outcome and how much its loads have sent."""
    return [
        (test["nodeid"].partition("::")[2], test["outcome"], [r["sent"] for r in test["results"]])
        for test in read_json(folder / "out" / "results.json")["tests"]
    ]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
@pytest.mark.parametrize("again", [RERUN, RETRY, FLAKY], ids=["rerunfailures", "retry", "flaky"])
def test_one_result_for_each_load(
    pytester: pytest.Pytester, again: tuple[str, ...], workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(SECOND)
    done = pytester.runpytest_subprocess(*SETTINGS, *again, *workers)
    assert sent(pytester.path) == [
        ("test_it[tornado]", "failed", [1]),
        ("test_it[tornado]", "passed", [2]),
        ("test_other[tornado]", "passed", [7]),
    ]
    done.stdout.fnmatch_lines(["required error_rate == 0%: FAILED in 1 of 3 measurements"])
    assert done.ret == 0


@pytest.mark.parametrize("again", [RERUN, RETRY], ids=["rerunfailures", "retry"])
def test_every_run_may_fail(pytester: pytest.Pytester, again: tuple[str, ...]) -> None:
    pytester.makepyfile(
        "def test_it(winserve):\n    winserve.load(users=1, count=3)\n    assert False"
    )
    assert pytester.runpytest_subprocess(*SETTINGS, *again).ret == 1
    assert sent(pytester.path) == [("test_it[tornado]", "failed", [3])] * 3


def test_a_set_up_that_fails_is_run_again(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        runs = []
        @pytest.fixture
        def warm(winserve):
            runs.append(1)
            winserve.load(users=1, count=len(runs))
            assert len(runs) > 1
        def test_it(winserve, warm): winserve.load(users=1, count=5)
        """
    )
    assert pytester.runpytest_subprocess(*SETTINGS, *RERUN).ret == 0
    assert sent(pytester.path) == [
        ("test_it[tornado]", "error", [1]), ("test_it[tornado]", "passed", [2, 5]),
    ]  # fmt: skip


def test_repeated_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SECOND)
    pytester.runpytest_subprocess(*SETTINGS, "-p", "repeat", "--count=2", "-k", "test_it")
    assert sent(pytester.path) == [
        ("test_it[tornado-1-2]", "failed", [1]), ("test_it[tornado-2-2]", "passed", [2]),
    ]  # fmt: skip


def test_the_last_failed_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "def test_bad(winserve):\n    winserve.load(users=1, count=3)\n    assert False\n"
        "def test_good(winserve): winserve.load(users=1, count=4)\n"
    )
    for arguments, tests in (((), 2), (("--lf",), 1)):
        assert pytester.runpytest_subprocess(*SETTINGS, *arguments).ret == 1
        assert len(sent(pytester.path)) == tests
    assert sent(pytester.path) == [("test_bad[tornado]", "failed", [3])]


@not_on_windows("Windows cannot send Ctrl-C to one process")
@pytest.mark.usefixtures("traces")
def test_what_was_measured_before_ctrl_c_is_shown_and_written(tmp_path: Path, start: Start) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import time
def test_before(winserve): winserve.load(users=1, count=3)
def test_it(winserve):
    winserve.load(users=1, count=4)
    open("loaded", "w").close()
    time.sleep(600)
"""
    )
    run = start("pytest", *PYTEST_OPTIONS, *SETTINGS)
    run.until((tmp_path / "loaded").exists, "no load")
    signal_group(run, 2)
    assert run.process.wait(60) == pytest.ExitCode.INTERRUPTED
    assert "event: the test was interrupted" in run.text()
    assert sent(tmp_path) == [
        ("test_before[tornado]", "passed", [3]), ("test_it[tornado]", "error", [4]),
    ]  # fmt: skip


@pytest.mark.usefixtures("traces")
def test_a_site_that_does_not_stop_as_it_should(tmp_path: Path) -> None:
    """The load is whole, and the test is in error: its site was to blame."""
    (tmp_path / "test_it.py").write_text("def test_it(winserve): winserve.load(users=1, count=7)")
    done = run_pytest(*SETTINGS, "--winserve-app=apps.stubborn:thread()", "--winserve-fast=/")
    assert done.status == 1
    assert "1 passed, 1 error in " in done.out
    assert "did not stop as it should:" in done.out
    assert "sent 7, answered 7" in done.out
    assert sent(tmp_path) == [("test_it[tornado]", "error", [7])]
