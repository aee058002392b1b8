"""What pytest's report of a test says of the lab: its records, logs and errors."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_winserve.errors import MissingComponent, UsageError, WinserveError
from pytest_winserve.session.attempts import interrupted, records_of
from pytest_winserve.session.properties import add_charts, tell_others
from pytest_winserve.session.pytest_run import ATTEMPTS_KEY, RESULTS, PytestRun
from pytest_winserve.session.serving import NOT_STARTED_KEY
from pytest_winserve.session.site_keys import FAILED_BEFORE, SiteKey
from pytest_winserve.session.wanted import id_of


def keep_interrupted(run: PytestRun, item: pytest.Item) -> None:
    """Ctrl-C: there will be no report of this test. What it has measured is not lost."""
    results: Any = run.config.pluginmanager.get_plugin(RESULTS)
    attempts = item.stash.get(ATTEMPTS_KEY, [])
    if results is not None and attempts:
        results.take(interrupted(attempts, id_of(item)))


def note_outcome(item: pytest.Item, outcome: str) -> None:
    """The call of a test has ended so. A plugin that runs it again may make no report of it."""
    if ATTEMPTS_KEY in item.stash:
        item.stash[ATTEMPTS_KEY][-1].outcome = outcome


def before_report(item: pytest.Item, when: str) -> None:
    """What the reports of other plugins take from the test before ours is made."""
    if when != "teardown" and item.stash.get(ATTEMPTS_KEY, []):
        tell_others(item, item.stash[ATTEMPTS_KEY][-1].recorders)


def complete_report(
    run: PytestRun, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    """Put into a report what the test has measured, and the text of an error of the lab alone."""
    if call.excinfo is not None and isinstance(call.excinfo.value, WinserveError):
        _complete_error(run, item, call.excinfo, report)
    if not item.stash.get(ATTEMPTS_KEY, []):
        return
    attempts = item.stash[ATTEMPTS_KEY]
    if report.when == "call":
        add_charts(run.config, report, attempts[-1].recorders)
    if report.failed:
        for recorder in attempts[-1].recorders:
            for name, text in recorder.logs().items():
                if text.strip():
                    report.sections.append((f"winserve {recorder.site.topology}: {name}", text))
    if report.when == "call" or report.failed:
        attempts[-1].outcome = report.outcome if report.when == "call" else "error"
    if report.when == "teardown" or report.failed:
        not_started = getattr(report, "winserve", {})
        records = not_started | records_of(attempts, id_of(item))
        report.winserve = records  # type: ignore[attr-defined]
    if report.when == "teardown":
        del item.stash[ATTEMPTS_KEY]


def _complete_error(
    run: PytestRun,
    item: pytest.Item,
    raised: pytest.ExceptionInfo[BaseException],
    report: pytest.TestReport,
) -> None:
    kinds = {MissingComponent: "missing", UsageError: "usage"}
    kind = next((kinds[each] for each in raised.type.__mro__ if each in kinds), "failed")
    report.winserve_kind = kind  # type: ignore[attr-defined]
    if report.when != "call":
        again = any(each is raised.value for each in run.told)
        report.longrepr = _told(raised, again=again)
        run.told.append(raised.value)
    else:
        _in_one_line(report.longrepr, raised)
    if NOT_STARTED_KEY in item.stash:
        report.winserve = _not_started(item, raised.value)  # type: ignore[attr-defined]


def _not_started(item: pytest.Item, error: BaseException) -> dict[str, dict[str, Any]]:
    """The record of a test whose site did not come up; of several for one site, the first's."""
    key: SiteKey = item.stash[NOT_STARTED_KEY]
    del item.stash[NOT_STARTED_KEY]
    reason = str(error).partition("\n")[0]
    if FAILED_BEFORE in reason:
        return {}
    nodeid = id_of(item)
    return {f"{nodeid}: {reason}": key.not_started(nodeid, reason).to_dict()}


def _told(error: pytest.ExceptionInfo[BaseException], *, again: bool) -> Any:
    """An error of the lab: its text says all, how it got there helps nobody. The summary at the
    end of the run has its first line only; on CI pytest would print it there whole again. So has
    each further test that a fixture of the session's fails."""
    told: Any = error.getrepr(style="value", chain=False)
    lines = told.reprtraceback.reprentries[-1].lines
    lines[0] = f"{error.type.__name__}: {lines[0]}"
    if again:
        del lines[1:]
    if told.reprcrash is not None:
        told.reprcrash.message = lines[0]
    return told


def _in_one_line(shown: Any, error: pytest.ExceptionInfo[BaseException]) -> None:
    """Have the short summary and --tb=line begin with what is wrong, and not with a module's name:
    they have one line."""
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        first = str(error.value).partition("\n")[0]
        crash.message = f"{error.type.__name__}: {first}"
