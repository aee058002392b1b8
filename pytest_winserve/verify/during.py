"""The lifecycle ledger: what is done to a site while it is loaded, and what that costs."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from pytest_winserve.errors import UsageError
from pytest_winserve.load.engine import Progress
from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Second
from pytest_winserve.report.record import Record

PLANNED = re.compile(r"(?P<what>\S(?:.*\S)?)\s+at\s+(?P<at>\d+(?:\.\d+)?)\s*s?", re.DOTALL)
LONGEST = 600.0
"""Seconds that a command may take, then it is killed."""

Act = Callable[[str], str]
"""Does what the words say, and returns when it is done, with how it ended."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What is done, and how many seconds after the load has begun."""

    what: str
    at: float


@dataclass(frozen=True, slots=True)
class Happened:
    """What was done: when it began and was over, in seconds of the load, and how it ended."""

    what: str
    began: float
    ended: float
    how: str


def planned(texts: Iterable[str], duration: float | None) -> tuple[Planned, ...]:
    """What `--during` asks for, in the order of time. Raises UsageError."""
    found = []
    for text in texts:
        match = PLANNED.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"--during={text!r}: what is done and when is needed, such as "
                "'C:\\sites\\shop\\upgrade.cmd at 2s'"
            )
        one = Planned(match["what"], float(match["at"]))
        if duration is not None and one.at >= duration:
            raise UsageError(
                f"--during={text!r}: the load is over after {duration:g} s; give a --duration of "
                f"more than {one.at:g}"
            )
        found.append(one)
    return tuple(sorted(found, key=lambda one: one.at))


@dataclass(slots=True)
class During:
    """Does what is planned, each at its time in a thread of its own. Give `follow` to the engine,
    and call `told_in` when the load is over."""

    plans: Sequence[Planned]
    act: Act
    happened: list[Happened] = field(default_factory=list, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def follow(self, progress: Progress) -> None:
        """The load has begun, at the latest now."""
        if self._threads:
            return
        began = time.perf_counter() - progress.elapsed
        for plan in self.plans:
            thread = threading.Thread(target=self._run, args=(plan, began), daemon=True)
            thread.start()
            self._threads.append(thread)

    def told_in(self, record: Record, result: Result) -> Record:
        """The record of the load, now over, with what each of it cost. Waits until it is done."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        happened = sorted(self.happened, key=lambda one: one.began)
        return replace(record, events=(*record.events, *cost(happened, self.plans, result)))

    def _run(self, plan: Planned, began: float) -> None:
        if self._ended.wait(max(0.0, began + plan.at - time.perf_counter())):
            return
        start = time.perf_counter() - began
        how = self.act(plan.what)
        self.happened.append(Happened(plan.what, start, time.perf_counter() - began, how))


def run_command(command: str) -> str:
    """Run a command line of this machine's shell; how it ended, with the end of what it said."""
    # To a file: a service that is started by it could keep a pipe open, which would never end.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(  # the user's own command line
                command, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                check=False, timeout=LONGEST,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"did not end in {LONGEST:g} s and was killed"
        output.seek(0)
        said = output.read().decode("utf-8", "replace").strip().splitlines()
    last = f": {said[-1].strip()}" if said and done.returncode else ""
    return f"exit status {done.returncode}{last}"


def cost(happened: Sequence[Happened], plans: Sequence[Planned], result: Result) -> Iterator[str]:
    """What each cost in requests, a line each. The load's seconds are whole: what failed in the
    second in which it began counts."""
    if happened:
        before = [second for second in result.timeline if second.at < int(happened[0].began)]
        yield f"before: {_failed(before)}"
    for number, one in enumerate(happened):
        later = int(happened[number + 1].began) if number + 1 < len(happened) else math.inf
        since = [each for each in result.timeline if int(one.began) <= each.at < later]
        bad = [second.at for second in since if _bad(second)]
        when = f", from second {bad[0]} to second {bad[-1]}" if bad else ""
        until = "" if one.ended <= result.elapsed else ", after the load"
        yield (
            f"{one.what}, at {one.began:.1f} s, done at {one.ended:.1f} s{until} ({one.how}): "
            f"{_failed(since)}{when}"
        )
    done = {one.what for one in happened}
    for plan in plans:
        if plan.what not in done:
            yield f"{plan.what}, planned at {plan.at:g} s: the load was over before"


def _failed(seconds: Iterable[Second]) -> str:
    """`12 of 3400 requests failed (502: 4, reset: 8)`"""
    total: Counter[str] = Counter()
    for second in seconds:
        total.update(second.outcomes)
    bad = {outcome: count for outcome, count in sorted(total.items()) if not is_good(outcome)}
    which = ", ".join(f"{outcome}: {count}" for outcome, count in bad.items())
    text = f"{sum(bad.values())} of {sum(total.values())} requests failed"
    return f"{text} ({which})" if which else text


def _bad(second: Second) -> bool:
    return any(count and not is_good(outcome) for outcome, count in second.outcomes.items())
