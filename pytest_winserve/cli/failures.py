"""Why a run of pytest failed: for the exit status of `winserve check`, which starts it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_winserve.cli.shared import FAILED, MISSING, USAGE
from pytest_winserve.errors import MissingComponent

INTERRUPTED = int(pytest.ExitCode.INTERRUPTED)


class Failures:
    """A pytest plugin that tells wrong usage and missing parts from failed checks."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._interrupted = False

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except pytest.UsageError as error:
            # What this package cannot do is such an error to pytest, too.
            missing = isinstance(error.__cause__, MissingComponent)
            self._kinds = {"missing" if missing else "usage"}
            raise

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._kinds.add(getattr(report, "winserve_kind", "failed"))

    def pytest_keyboard_interrupt(self) -> None:
        self._interrupted = True

    def exit_status(self, status: int) -> int:
        """The command's own, of what pytest ended with: whose 3 is an error inside of pytest, and
        whose 2 also means that something could not be collected."""
        if status == pytest.ExitCode.OK:
            return 0
        if self._interrupted:
            return INTERRUPTED
        if self._kinds == {"missing"}:
            return MISSING
        wrong = status == pytest.ExitCode.USAGE_ERROR or self._kinds == {"usage"}
        return USAGE if wrong else FAILED
