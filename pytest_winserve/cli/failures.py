"""Why a run of pytest failed: for the exit status of `winserve check`, which starts it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_winserve.errors import MissingComponent


class Failures:
    """A pytest plugin that tells wrong usage and missing parts from failed checks."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()

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

    @property
    def kind(self) -> str:
        """`usage` or `missing` when that was the only reason, else `failed`."""
        (kind, *others) = self._kinds or {"failed"}
        return "failed" if others else kind
