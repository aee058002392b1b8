"""What is shown while something runs: one line on a terminal; anywhere else, of what takes long, a
line now and then on the standard error."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from pytest_winserve.lab.observer import Lines, Live, on_stderr, progress_text

if TYPE_CHECKING:
    import pytest

    from pytest_winserve.load.engine import Progress


class Watch:
    """For a command, which may have no terminal."""

    def __init__(self, before: str = "") -> None:
        self._before = before
        self._live: Live = StreamLive(sys.stderr) if sys.stderr.isatty() else Lines(on_stderr)

    def progress(self, text: str) -> None:
        self._live.progress(f"{self._before}{text}" if text else "")

    def waiting(self, text: str) -> None:
        self._live.waiting(f"{self._before}{text}" if text else "")

    def follow(self, progress: Progress) -> None:
        """For an engine that is run without a site."""
        self._live.progress(progress_text(progress))


SAVE, CLEAR_AND_RESTORE = "\x1b7", "\x1b8\x1b[K"
LEAST_ROOM = 30


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
class BesideCapture:
    """Writes lines to the standard error that pytest captures meanwhile."""

    capture: Any
    before: str

    def __call__(self, text: str) -> None:
        if sys.__stderr__ is None:
            return
        with self.capture.global_and_fixture_disabled() if self.capture else nullcontext():
            # Behind what pytest has written on the current line.
            sys.__stderr__.write(f"\n{self.before}{text}\n")
            sys.__stderr__.flush()


def live_of(config: pytest.Config) -> Live:
    """What fits the terminal, or the lack of one, that pytest runs on."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    worker = getattr(config, "workerinput", None)
    if worker is None and reporter is not None and capture is not None and reporter.isatty:
        return ReporterLive(reporter, capture)
    # A worker of xdist has no line of the terminal to write on.
    return Lines(BesideCapture(capture, f"[{worker['workerid']}] " if worker else "winserve: "))
