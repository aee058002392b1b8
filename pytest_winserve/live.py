"""What is shown while something runs: one line on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    import pytest

    from pytest_winserve.load.engine import Progress

SAVE, CLEAR_AND_RESTORE = "\x1b7", "\x1b8\x1b[K"
LEAST_ROOM = 30


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


@dataclass(slots=True)
class StreamLive:
    """On a terminal of its own."""

    stream: TextIO
    _shown: bool = field(default=False, init=False)

    def progress(self, text: str) -> None:
        if text or self._shown:
            self.stream.write(f"\r\x1b[K{text[:79]}")
            self.stream.flush()
        self._shown = bool(text)

    def waiting(self, text: str) -> None:
        self.progress(text)


@dataclass(slots=True)
class ReporterLive:
    """Behind what pytest has written on the current line; capturing is lifted for the moment."""

    reporter: Any
    capture: Any
    _shown: bool = field(default=False, init=False)

    def progress(self, text: str) -> None:
        if not text and not self._shown:
            return
        writer = self.reporter._tw
        with self.capture.global_and_fixture_disabled():
            if text and writer.fullwidth - writer.width_of_current_line < LEAST_ROOM:
                writer.line()
            room = writer.fullwidth - writer.width_of_current_line - 2
            # Straight to the terminal: the writer would count it as part of the line.
            writer._file.write(f"{CLEAR_AND_RESTORE if self._shown else ''}")
            if text:
                writer._file.write(f"{SAVE} {text[:room]}\x1b[K")
            writer.flush()
        self._shown = bool(text)

    def waiting(self, text: str) -> None:
        self.progress(text)


@dataclass(slots=True)
class WorkerLive:
    """In a worker of xdist there is no line to write on; a wait is told once, on standard error."""

    worker: str
    capture: Any
    _told: bool = field(default=False, init=False)

    def progress(self, text: str) -> None:
        self._told = False

    def waiting(self, text: str) -> None:
        if self._told or sys.__stderr__ is None:
            return
        self._told = True
        with self.capture.global_and_fixture_disabled():
            sys.__stderr__.write(f"\n[{self.worker}] {text}\n")
            sys.__stderr__.flush()


def progress_text(progress: Progress) -> str:
    """`3 s, 8360 sent, 0 failed`"""
    failed = sum(n for outcome, n in progress.outcomes.items() if outcome[0] not in "23")
    return f"{progress.elapsed:.0f} s, {progress.sent} sent, {failed} failed"


def live_of(config: pytest.Config) -> Live:
    """What fits the terminal, or the lack of one, that pytest runs on."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    worker = getattr(config, "workerinput", None)
    if worker is not None and capture is not None:
        if sys.__stderr__ is not None and sys.__stderr__.isatty():
            return WorkerLive(worker["workerid"], capture)
    elif reporter is not None and capture is not None and reporter.isatty:
        return ReporterLive(reporter, capture)
    return Nothing()
