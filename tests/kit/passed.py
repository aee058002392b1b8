"""Tests that were cut short go on where they were: `--passed FILE` leaves out what has passed by
that file, and adds to it what passes or is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--passed", metavar="FILE", type=Path, help="go on with what has not passed")


def pytest_configure(config: pytest.Config) -> None:
    file: Path | None = config.getoption("--passed")
    if file is not None:
        config.pluginmanager.register(Passed(file, getattr(config, "workerinput", None)))


class Passed:
    """What has passed, read once at the start: each worker of xdist is to have the same tests."""

    def __init__(self, file: Path, told: dict[str, Any] | None) -> None:
        self.file = file
        self.writes = told is None
        if told is not None:
            self.before: list[str] = told["passed"]
        else:
            self.before = file.read_text("utf-8").splitlines() if file.exists() else []
        self.failed: set[str] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["passed"] = self.before

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        before = set(self.before)
        passed = [item for item in items if item.nodeid in before]
        config.hook.pytest_deselected(items=passed)
        items[:] = [item for item in items if item.nodeid not in before]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif self.writes and report.when == "teardown" and report.nodeid not in self.failed:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")
