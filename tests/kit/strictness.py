"""The rule that nothing real is skipped unnoticed."""

from __future__ import annotations

import os
import signal

import pytest

STRICT = "WINSERVE_NO_SKIPS"
"""Set (by .ci/run) where every component is installed: a skip then fails the run, unless its
reason begins with `platform:` because this operating system cannot do it."""


def pytest_configure() -> None:
    """Whoever started this run may have it ignore SIGINT, as shells do with what they start in the
    background, or SIGHUP, as `nohup` does. What a test starts would inherit that, and never end on
    the test's signal."""
    for name, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get(STRICT):
        return
    skipped = terminalreporter.stats.get("skipped", [])
    for report in skipped:
        if not _excused(report):
            terminalreporter.write_line(f"{STRICT}: {report.nodeid} was skipped", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get(STRICT) or reporter is None:
        return
    if not all(map(_excused, reporter.stats.get("skipped", []))):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _excused(report: pytest.TestReport) -> bool:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ").startswith("platform:")
