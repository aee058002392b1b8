"""What a log complains of: tracebacks, lines of errors, and what servers and fronts say of
themselves.

Whatever a log holds, one line of it is looked at at a time, and of a long one only the beginning.
Kinds are counted, and of each the first example is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pytest_winserve.load.results.complaints import Complaint
from pytest_winserve.servers import Complaining

LONGEST = 2000
"""Bytes of a line that are looked at."""
MOST_READ = 64_000_000
"""Bytes of one log that are looked at for one measurement."""
MOST_KINDS = 50
EXAMPLE = 200
ANNOUNCED = 5
"""So many lines of other threads may stand between a logging error and its traceback."""

TRACEBACK = "Traceback (most recent call last)"
LOGGING = "--- Logging error ---"
CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_WORTH = re.compile(r"Traceback|Logging error|ERROR|CRITICAL|FATAL|Fatal Python|above exception|"
                    r"\"level|^\[[EC] \d")  # fmt: skip
"""Only a line that has one of these can be of interest, and most have none."""
_LEVEL = re.compile(
    r"(?:^|[\s\[|(])(DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)(?=[\s\]|):]|$)"
)
_JSON_LEVEL = re.compile(r'"level(?:name)?"\s*:\s*"(error|critical|fatal)"', re.IGNORECASE)
_TORNADO = re.compile(r"\[([EC]) \d{6} ")
_BRACKETS = re.compile(r"(?:\[[^\]]*\] )+(?:AH\d+: )?")
"""What Apache puts before each line that an app has written."""
_MARGIN = re.compile(r"\s*[|+] ?")
"""What stands before the lines of an exception group."""
_EXCEPTION = re.compile(r"((?:[^\W\d]\w*\.)*[^\W\d]\w*)(?::|\s*$)")
_SEVERE = {"ERROR", "CRITICAL", "FATAL"}
_TORNADO_LEVELS = {"E": "ERROR", "C": "CRITICAL"}


class LogScan:
    """Counts the complaints of one log, line by line."""

    def __init__(self, name: str, writer: object = None) -> None:
        """`writer` is the server or the front whose log it is."""
        self._name = name
        self._writer = writer if isinstance(writer, Complaining) else None
        self._found: dict[str, Complaint] = {}
        self._counts: dict[str, int] = {}
        self._prefix: str | None = None  # of the lines of the traceback that is being read
        self._logging_failed = 0  # how many lines ago, from ANNOUNCED down to 0
        self._of_logging = False
        self._chained = False
        self._before = ""  # the kind that the line before was counted as
        self._ended = ""  # the kind of the last traceback

    def line(self, text: str) -> None:
        """Take in one line."""
        if self._prefix is not None and self._in_traceback(text):
            return
        self._logging_failed = max(0, self._logging_failed - 1)
        own = None if self._writer is None else self._writer.complaint(text)
        if own is not None:
            self._count(own[0], text, grave=own[1])
        elif not _WORTH.search(text):
            self._before = ""
        elif TRACEBACK in text:
            self._begin(text)
        elif LOGGING in text:
            self._logging_failed = ANNOUNCED
        elif any(words in text for words in CHAINED):
            # One error, not two: the one before was only its cause.
            self._uncount(self._ended)
            self._chained = True
        else:
            self._count_level(text)

    def complaints(self) -> Iterator[Complaint]:
        """What was found up to now."""
        if self._prefix is not None:
            self._end("traceback without an end", "")
        for kind, one in self._found.items():
            yield Complaint(kind, {self._name: self._counts[kind]}, one.example, one.grave)

    def _begin(self, text: str) -> None:
        if self._before in {f"{level} line" for level in _SEVERE}:
            self._uncount(self._before)  # the line that announces this traceback
        if not self._chained:
            self._of_logging = self._logging_failed > 0
            self._logging_failed = 0
        self._chained = False
        self._before = ""
        self._prefix = text[: text.index(TRACEBACK)]

    def _in_traceback(self, text: str) -> bool:
        """Whether a line belongs to the traceback that is being read; its last one ends it."""
        body = self._body(text)
        if not body or body[0] in " \t":
            return True
        exception = _EXCEPTION.match(body)
        if exception is None or TRACEBACK in body:
            self._end("traceback without an end", body)
            return False
        self._end(f"{exception[1]} (traceback)", body)
        return True

    def _body(self, text: str) -> str:
        """A line without what stands before each line of its traceback."""
        prefix = self._prefix or ""
        if not prefix.strip(" "):
            return text[len(prefix) :] if text.startswith(prefix) else text
        if brackets := _BRACKETS.match(text):
            return text[brackets.end() :]
        margin = _MARGIN.match(text)
        return text[margin.end() :] if margin else text

    def _end(self, kind: str, example: str) -> None:
        self._prefix = None
        self._ended = f"logging error: {kind}" if self._of_logging else kind
        self._count(self._ended, example, grave=True)
        self._before = ""

    def _count_level(self, text: str) -> None:
        head = text[:EXAMPLE]
        level = ""
        if found := _TORNADO.match(head):
            level = _TORNADO_LEVELS[found[1]]
        elif (found := _LEVEL.search(head)) or (found := _JSON_LEVEL.search(text)):
            level = found[1].upper()
        elif "Fatal Python error" in head:
            level = "FATAL"
        self._before = ""
        if level in _SEVERE:
            self._count(f"{level} line", text, grave=True)

    def _count(self, kind: str, example: str, *, grave: bool) -> None:
        if kind not in self._found and len(self._found) >= MOST_KINDS:
            kind = "of other kinds"
        self._found.setdefault(kind, Complaint(kind, {}, example.strip()[:EXAMPLE], grave))
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._before = kind

    def _uncount(self, kind: str) -> None:
        if kind in self._counts:
            self._counts[kind] -= 1
            if not self._counts[kind]:
                del self._counts[kind], self._found[kind]


def complaints_in(path: Path, since: int, name: str, writer: object) -> list[Complaint]:
    """What a log complains of from the byte `since` on; a log that was cut since then is read from
    its beginning."""
    scan = LogScan(name, writer)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            begin = file.seek(since if since <= size else 0)
            left = min(size - begin, MOST_READ)
            unread = size - begin - left
            goes_on = False
            while left > 0 and (piece := file.readline(LONGEST)):
                left -= len(piece)
                if not goes_on:
                    scan.line(piece.decode("utf-8", "replace").rstrip())
                goes_on = not piece.endswith(b"\n")
    except OSError:
        return []
    found = list(scan.complaints())
    if unread:
        words = f"{unread} bytes of it were not looked at"
        found.append(
            Complaint(f"more than {MOST_READ / 1e6:.0f} MB of log", {name: 1}, words, False)
        )
    return found
