"""Tests that were cut short go on with what has not passed, and leave out nothing else."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pathlib, pytest

def test_passes(): pass
def test_is_skipped(): pytest.skip("here")
def test_fails_once(): fails_once("call")

@pytest.fixture
def late():
    yield
    fails_once("teardown")

def test_fails_late(late): pass

def fails_once(name):
    file = pathlib.Path(name)
    if not file.exists():
        file.touch()
        raise AssertionError
"""


def test_what_has_passed_is_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)

    def run() -> dict[str, int]:
        done = pytester.runpytest_inprocess("-p", "tests.kit.passed", "--passed", "passed")
        return done.parseoutcomes()

    assert run() == {"passed": 2, "skipped": 1, "failed": 1, "errors": 1}
    assert run() == {"passed": 2, "deselected": 2}
    assert run() == {"deselected": 4}
