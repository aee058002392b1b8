"""The results of a whole run, of tests or of a command, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.errors import UsageError

if TYPE_CHECKING:
    from pytest_winserve.lab.available import Surveys
    from pytest_winserve.load.results.result import Result
    from pytest_winserve.report.blocks import Report
    from pytest_winserve.report.record import NotTried, Record, Requirement
    from pytest_winserve.session.environment import RunEnvironment


class RunResults:
    """Gathers the records of a run, and reports on them."""

    def __init__(
        self,
        environment: RunEnvironment,
        left_out: Callable[[], Sequence[NotTried]] = tuple,
        recommendation: Sequence[str] = (),
    ) -> None:
        """`left_out` says what the hosts of the run could not be tried with."""
        self._environment = environment
        self._left_out = left_out
        self._recommendation = tuple(recommendation)
        self._records: dict[str, Record] = {}
        self._machines: dict[str, Any] = {}
        self._report: Report | None = None
        self._told: list[str] = []
        self._not_written: list[str] = []

    def add(self, record: Record, name: str = "") -> None:
        """Take in one test's record on one site, in place of an earlier one of that name."""
        machine = record.machine
        if machine:
            known = self._machines.get(record.host, {})
            self._machines[record.host] = {
                **machine,
                **{
                    name: {**known.get(name, {}), **machine.get(name, {})}
                    for name in ("versions", "lent")
                    if name in machine or name in known
                },
            }
        self._records[name or f"{len(self._records)}"] = replace(record, machine=None)
        self._report = None

    def requirements(self) -> list[Requirement]:
        """For each criterion of the run: how often it was evaluated, and how often it failed."""
        from pytest_winserve.report.record import Requirement

        checks = [check for record in self._records.values() for check in record.checks]
        requirements = []
        for text in self._environment.settings.require:
            name = canonical(text)
            mine = [check for check in checks if check.criterion == name]
            failed = sum(not check.passed for check in mine)
            requirements.append(Requirement(name, len(mine), failed))
        return requirements

    def report(self) -> Report:
        """The report on all records up to now: made once, shown and written in several forms."""
        if self._report is not None:
            return self._report
        from datetime import UTC, datetime

        from pytest_winserve.report.blocks import Report
        from pytest_winserve.report.record import RunRecord

        run = RunRecord(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=self._environment.data(self._machines),
            records=tuple(self._records.values()),
            requirements=tuple(self.requirements()),
            left_out=tuple(self._left_out()),
            recommendation=self._recommendation,
        )
        self._report = Report.of(run)
        return self._report

    @property
    def whose_python(self) -> list[str]:
        """In which Python the app ran where that was not the lab's, and what it was lent."""
        found = []
        for machine in self._machines.values():
            if "python_prefix" in machine:
                lent = ", ".join(f"{name} {v}" for name, v in machine.get("lent", {}).items())
                text = (
                    f"winserve: the app ran in {machine['python_prefix']}, Python "
                    f"{machine['python']}; lent to it: {lent or 'nothing'}"
                )
                found += wrap(text, 80, subsequent_indent="  ", break_on_hyphens=False)
        return found

    @property
    def not_your_app(self) -> list[str]:
        """That the sample app was served, where no other was named or found."""
        settings = self._environment.settings
        served = {record.app for record in self._records.values()}
        if not settings.why_app or not served & {settings.app} & {SAMPLE_APP}:
            return []
        text = f"winserve: not your app was served, but {settings.why_app}"
        return wrap(text, 80, subsequent_indent="  ")

    def hints(self, option: str) -> list[str]:
        """What the reader should know: of other machines, of whose app and Python it was, and of
        failed requests that no criterion judged."""
        notes = [*self.not_your_app, *self.whose_python] + [
            line
            for host, machine in self._machines.items()
            if "note" in machine
            for line in wrap(
                f"winserve: host {host}: {machine['note']}", 80, subsequent_indent="  "
            )
        ]
        unjudged = sum(
            not (load.checks or load.judged) and has_failures(load.result)
            for record in self._records.values()
            for load in record.results
        )
        if not unjudged:
            return notes
        loads = "1 load" if unjudged == 1 else f"{unjudged} loads"
        return [
            *notes,
            f"winserve: {loads} had failed requests that no criterion judged;",
            f"  for example {option}='error_rate < 1%'",
        ]

    def write(self) -> bool:
        """Write the report if one is wanted. False when it could not be; `told` says why."""
        folder = self._environment.settings.report
        if folder is None:
            return True
        from pytest_winserve.report import write_report

        try:
            write_report(folder, self.report())
        except (UsageError, OSError) as error:
            self._not_written.append(f"winserve: the report could not be written: {error}")
            return False
        self._told.append(f"winserve: report in {folder}")
        return True

    @property
    def told(self) -> list[str]:
        """What became of the report."""
        return [*self._not_written, *self._told]

    @property
    def not_written(self) -> list[str]:
        """Why the report is not there, if it was wanted."""
        return self._not_written


def not_tried(environment: RunEnvironment, surveys: Surveys) -> list[NotTried]:
    """For the sets that are of what a host can run: what it cannot, by host, and why."""
    from pytest_winserve.report.record import NotTried
    from pytest_winserve.session.labs import host_of
    from pytest_winserve.topology import SURVEYS

    settings = environment.settings
    if not set(SURVEYS).intersection(settings.topology):
        return []
    return [
        NotTried.from_dict({"host": name, **one.to_dict()})
        for name in settings.host
        for one in surveys.of(host_of(settings, name), settings.command).left_out
    ]


def has_failures(result: Result) -> bool:
    """Whether a load had a request that was not answered with 2xx or 3xx."""
    from pytest_winserve.load.measures.outcomes import is_good

    return any(count and not is_good(outcome) for outcome, count in result.outcomes.items())


def canonical(criterion: str) -> str:
    """A criterion as it stands in results."""
    from pytest_winserve.load.criteria import Criterion

    return str(Criterion.parse(criterion))
