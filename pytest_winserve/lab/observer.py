"""Who is shown or told what a site does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_winserve.load.measures.outcomes import is_good

if TYPE_CHECKING:
    from pytest_winserve.load.criteria import Check
    from pytest_winserve.load.engine import Progress


class Live(Protocol):
    """Shows a text that replaces the one before; an empty one takes it away."""

    def progress(self, text: str) -> None:
        """What is going on."""

    def waiting(self, text: str) -> None:
        """What is waited for."""


class Nothing:
    """Shows nothing."""

    def progress(self, text: str) -> None:
        return

    def waiting(self, text: str) -> None:
        return


EVERY = 60.0
"""Seconds between two lines about the same thing."""


@dataclass(slots=True)
class Lines:
    """Where there is no terminal: a line for a wait, at once, and another every minute; for what
    goes on, every minute."""

    write: Callable[[str], None]
    _waits_since: float | None = field(default=None, init=False)
    _goes_on_since: float | None = field(default=None, init=False)

    def progress(self, text: str) -> None:
        self._waits_since = None
        now = time.perf_counter()
        if not text:
            self._goes_on_since = None
        elif self._goes_on_since is None:
            self._goes_on_since = now
        elif now >= self._goes_on_since + EVERY:
            self._goes_on_since = now
            self.write(text)

    def waiting(self, text: str) -> None:
        now = time.perf_counter()
        if not text:
            self._waits_since = None
        elif self._waits_since is None or now >= self._waits_since + EVERY:
            self._waits_since = now
            self.write(text)


def on_stderr(text: str) -> None:
    """Write a line to the standard error, where there is one."""
    # Nobody may read it, and nothing ends for that.
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(f"winserve: {text}", file=sys.stderr, flush=True)  # noqa: T201


def progress_text(progress: Progress) -> str:
    """`3 s, 8360 sent, 0 failed`"""
    failed = sum(n for outcome, n in progress.outcomes.items() if not is_good(outcome))
    return f"{progress.elapsed:.0f} s, {progress.sent} sent, {failed} failed"


MeasurementKind = Literal["verdict", "capacity", "result"]


class Observer(Live, Protocol):
    """Who follows what a site does."""

    def event(self, text: str) -> None:
        """Something that the reader of the results should know."""

    def measured(
        self, kind: MeasurementKind, data: dict[str, Any], checks: Sequence[Check]
    ) -> None:
        """A measurement, as in `results.json`, and the run's criteria on it."""


class Silent(Nothing):
    """An observer that looks away."""

    def event(self, text: str) -> None:
        return

    def measured(
        self, kind: MeasurementKind, data: dict[str, Any], checks: Sequence[Check]
    ) -> None:
        return


class ShownOn(Silent):
    """An observer that shows what goes on, and looks away from all else."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def progress(self, text: str) -> None:
        self._live.progress(text)

    def waiting(self, text: str) -> None:
        self._live.waiting(text)
