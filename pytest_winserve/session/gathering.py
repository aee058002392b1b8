"""The results of a run of tests, gathered where they all arrive: not in a worker of xdist.

Apart from `results`, which the commands use as well: they need no pytest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.session.results import RunResults

if TYPE_CHECKING:
    from pytest_winserve.report.terminal import Detail


class GatheredResults(RunResults):
    """Registered as a plugin: takes the records that reports carry, and shows them at the end."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Attributes of a report travel from xdist's workers to the controller with it.
        self.take(getattr(report, "winserve", {}))

    def take(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in records by their names; several reports may carry the same, the last is right."""
        from pytest_winserve.report.record import Record

        for name, data in records.items():
            self.add(Record.from_dict(data), name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # What is required but was never measured has not been met.
        ran = session.testscollected > 0 and not session.config.option.collectonly
        good = ran and exitstatus == pytest.ExitCode.OK
        written = not self._records or self.write()
        if good and not (written and all(each.evaluated for each in self.requirements())):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._records:
            return
        from pytest_winserve.report import terminal

        writer = terminalreporter._tw
        width = min(writer.fullwidth, 80)
        detail = _detail(terminalreporter.config)
        text = terminal.render(self.report(), width=width, color=writer.hasmarkup, detail=detail)
        lines = [*text.splitlines(), *self.not_written]
        if detail != "least":
            terminalreporter.section("winserve")
            lines = [*text.splitlines(), *self.hints("--winserve-require"), *self.told]
        for line in lines:
            terminalreporter.write_line(line)


def _detail(config: pytest.Config) -> Detail:
    """How much is told, by pytest's own options."""
    verbosity = config.option.verbose
    if config.option.no_summary or verbosity < -1:
        return "least"
    return "less" if verbosity < 0 else "more" if verbosity > 0 else "usual"
