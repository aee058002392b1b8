"""The results of a whole test run, collected where they all arrive: not in a worker of xdist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.lab.available import Surveys


class RunResults:
    """Registered as a plugin: gathers the records that reports carry, and shows them at the end."""

    def __init__(
        self,
        settings: Settings,
        surveys: Callable[[], Surveys] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`surveys` gives those of a run that tries what its hosts can run; `more` is what the
        content of `results.json` has beside the tests."""
        self._settings = settings
        self._surveys = surveys
        self._more = more or {}
        self._tests: list[dict[str, Any]] = []
        self._machines: dict[str, Any] = {}
        self._told: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Attributes of a report travel from xdist's workers to the controller with it.
        for record in getattr(report, "winserve", []):
            self.add(record)

    def add(self, record: dict[str, Any]) -> None:
        """Take in one test's record on one site."""
        machine = record.pop("machine", None)
        if machine:
            known = self._machines.get(record["host"], {}).get("versions", {})
            self._machines[record["host"]] = machine | {"versions": known | machine["versions"]}
        self._tests.append(record)

    def requirements(self) -> list[dict[str, Any]]:
        """For each criterion of the run: how often it was evaluated, and how often it failed."""
        checks = [
            check
            for test in self._tests
            for kind in ("verdicts", "capacities", "results")
            for measured in test[kind]
            for check in measured["checks"]
        ]
        found = []
        for text in self._settings.require:
            name = canonical(text)
            mine = [check for check in checks if check["criterion"] == name]
            failed = sum(not check["passed"] for check in mine)
            found.append({"criterion": name, "evaluated": len(mine), "failed": failed})
        return found

    def left_out(self) -> list[dict[str, Any]]:
        """For the sets that are of what a host can run: what it cannot, by host, and why."""
        from pytest_winserve.hosts import open_host
        from pytest_winserve.topology import SURVEYS

        if self._surveys is None or not set(SURVEYS).intersection(self._settings.topology):
            return []
        surveys, settings = self._surveys(), self._settings
        found = {
            name: surveys.of(open_host(name, provision=settings.provision), settings.command)
            for name in settings.host
        }
        return [
            {"host": name, **each.to_dict()}
            for name, survey in found.items()
            for each in survey.left_out
        ]

    def data(self) -> dict[str, Any]:
        """The content of `results.json`."""
        from datetime import UTC, datetime

        from pytest_winserve.report.store import SCHEMA
        from pytest_winserve.session.environment import environment

        return {
            "schema": SCHEMA,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment(self._settings, self._machines),
            "tests": self._tests,
            "requirements": self.requirements(),
            "left_out": self.left_out(),
            **self._more,
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # What is required but was never measured has not been met.
        ran = session.testscollected > 0 and not session.config.option.collectonly
        good = ran and exitstatus == pytest.ExitCode.OK
        written = not self._tests or self.write()
        if good and not (written and all(each["evaluated"] for each in self.requirements())):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not self._tests:
            return
        from pytest_winserve.report import terminal

        data = self.data()
        writer = terminalreporter._tw
        terminalreporter.section("winserve")
        text = terminal.render(data, width=min(writer.fullwidth, 80), color=writer.hasmarkup)
        for line in text.splitlines():
            terminalreporter.write_line(line)
        for line in (*self.hints("--winserve-require"), *self._told):
            terminalreporter.write_line(line)

    def hints(self, option: str) -> list[str]:
        """What the reader should know: of other machines, and of failed requests that no criterion
        judged."""
        notes = [
            line
            for host, machine in self._machines.items()
            for line in wrap(
                f"winserve: host {host}: {machine['note']}", 80, subsequent_indent="  "
            )
        ]
        loads = [r for t in self._tests for r in t["results"] if not r["checks"] and failed(r)]
        if not loads:
            return notes
        what = "1 load" if len(loads) == 1 else f"{len(loads)} loads"
        return [
            *notes,
            f"winserve: {what} had failed requests that no criterion judged;",
            f"  for example {option}='error_rate < 1%'",
        ]

    def write(self) -> bool:
        """Write the report if one is wanted. False when it could not be; `told` says why."""
        if self._settings.report is None:
            return True
        from pytest_winserve.report import write_report

        try:
            write_report(self._settings.report, self.data())
        except (UsageError, OSError) as error:
            self._told.append(f"winserve: the report could not be written: {error}")
            return False
        self._told.append(f"winserve: report in {self._settings.report}")
        return True

    @property
    def told(self) -> list[str]:
        """What became of the report."""
        return self._told


def failed(result: dict[str, Any]) -> bool:
    """Whether a load had a request that was not answered with 2xx or 3xx."""
    return any(count and key[0] not in "23" for key, count in result["outcomes"].items())


def canonical(criterion: str) -> str:
    """A criterion as it stands in results."""
    from pytest_winserve.load.criteria import Criterion

    return str(Criterion.parse(criterion))
