"""What the attempts of one test have measured: a test has several where a plugin runs it again.

Each plugin does so in its own way. One logs no report of an attempt that failed, another none of
its end, a third makes none. So an attempt is known by its recorders, and its record is handed on as
often as there is a report that may carry it; the last one counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.session.recorder import Recorder


@dataclass(slots=True)
class Attempt:
    """One run of a test, from its set-up to its teardown."""

    recorders: list[Recorder] = field(default_factory=list)
    outcome: str = "error"
    over: bool = False
    name: str = field(default_factory=lambda: os.urandom(8).hex())

    def records(self, nodeid: str) -> dict[str, dict[str, Any]]:
        """The records of the test of that name as far as they are known, by a name of their own."""
        return {
            f"{self.name}-{number}": recorder.record(nodeid, self.outcome).to_dict()
            for number, recorder in enumerate(self.recorders)
            if recorder.wanted
        }


def current(attempts: list[Attempt]) -> Attempt:
    """The attempt that runs: a new one when those before are over."""
    if not attempts or attempts[-1].over:
        attempts.append(Attempt())
    return attempts[-1]


def records_of(attempts: Iterable[Attempt], nodeid: str) -> dict[str, dict[str, Any]]:
    """The records of several attempts, by names of their own."""
    return {name: data for each in attempts for name, data in each.records(nodeid).items()}


def interrupted(attempts: Sequence[Attempt], nodeid: str) -> dict[str, dict[str, Any]]:
    """The records of a test whose last attempt did not come to its end."""
    last = attempts[-1]
    last.outcome = "error"
    for recorder in last.recorders:
        recorder.events.append("the test was interrupted")
    return records_of(attempts, nodeid)
