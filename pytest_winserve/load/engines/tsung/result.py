"""What a run of tsung says in its logs, as a result.

tsung's log has a block per second here; the names that begin with `winserve_` are of the sessions
(`tsung_config`), the others tsung's own (`ts_client.erl`). `tsung-fullstats.log` has every single
time of a request and a connect, so that percentiles are of all of them and not of means.

Every request wanted ends in one of these ways:

* answered, or closed without an answer;
* with its user, on a timeout, on an error of the socket, or when the user has tried too often.

A connect that failed is an outcome as well, also when it was tried again for the same request: so
`sent` counts tries, as tsung does.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.tsung.log import TsungLog, read_log
from pytest_winserve.load.engines.tsung.passes import passes_of
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import UNEXPECTED
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Generator, Second
from pytest_winserve.load.results.tsung_report import Block, Sample
from pytest_winserve.load.results.tsung_report import Counter as Count

UNMEASURED = frozenset({"first_byte"})
CPU_LIMIT = 0.9

_CONNECT = "error_connect_"
_CLIENT_LIMITS = {
    "eaddrinuse": "client-ports",
    "eaddrnotavail": "client-ports",
    "enobufs": "client-ports",
    "emfile": "client-fds",
    "enfile": "client-fds",
}
_CONNECTS = {
    "econnrefused": "refused",
    "timeout": "connect_timeout",
    "etimedout": "connect_timeout",
    "ehostunreach": "connect_timeout",
    "enetunreach": "connect_timeout",
    **dict.fromkeys(_CLIENT_LIMITS, "client_limit"),
}
_GAVE_UP = "error_abort_max_conn_retries"
_RESETS = ("error_abort_max_send_retries", "error_send")
_OUTCOMES = {
    "winserve_closed": "closed_early",
    "winserve_unexpected": UNEXPECTED,
    "error_timeout": "timeout",
}
_TIMES = re.compile(r"\{sample,\s*(request|connect),\s*\[([^\]]*)\]\}")
_SESSION = re.compile(r"\{sample,\s*winserve_session,\s*(\d+)\}")


def outcome_of(name: str) -> str | None:
    """The outcome that a counter of tsung's log counts; None when it counts none.

    `error_inet_*`: an error of the socket while waiting for the answer.
    """
    if name.startswith("winserve_") and name[9:].isdigit():
        return name[9:]
    if name.startswith(_CONNECT):
        return _CONNECTS.get(name.removeprefix(_CONNECT), "reset")
    if name.startswith("error_inet_") or name in _RESETS:
        return "reset"
    return _OUTCOMES.get(name)


def outcomes_of(log: TsungLog) -> dict[str, int]:
    """How many requests had which outcome."""
    totals: Counter[str] = Counter()
    for name in log.names():
        outcome = outcome_of(name)
        if outcome is not None:
            totals[outcome] += log.total(name)
    return {outcome: n for outcome, n in sorted(totals.items()) if n}


def tries_again(log: TsungLog) -> int:
    """Connects that failed and were tried again, for a request that was counted once."""
    failed = sum(log.total(name) for name in log.names() if name.startswith(_CONNECT))
    return failed - log.total(_GAVE_UP)


def sent_of(log: TsungLog) -> int:
    """Requests sent, each try of a connect as one; those under way included."""
    return log.total("winserve_sent") + tries_again(log)


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """Every time of one kind, from `tsung-fullstats.log`."""

    request: Histogram
    connect: Histogram
    session: Histogram


def read_times(path: Path | None) -> MeasuredTimes:
    """The times of a run; what was cut off at its end is left out, and shows in the counts."""
    times = MeasuredTimes(Histogram(), Histogram(), Histogram())
    if path is None:
        return times
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = {"request": times.request, "connect": times.connect}
    for match in _TIMES.finditer(text):
        rows[match[1]].record_many([round(float(ms) * 1000) for ms in match[2].split(",")])
    times.session.record_many([int(match[1]) * 1000 for match in _SESSION.finditer(text)])
    return times


def result_of(
    plan: Plan,
    target: Target,
    log_path: Path,
    full: Path | None,
    planned: int,
    cpu: float,
    said: str,
) -> Result:
    """The result. `planned` users were to start; `cpu` is the peak use in cores; `said` the end of
    tsung's output. LoadError when nothing was sent, or the log is not that of a whole run.
    """
    log = read_log(log_path)
    if not log.ended:
        raise LoadError(f"tsung died during the load; {known(log)}\n{log.cut}\n{said}")
    sent, outcomes = sent_of(log), outcomes_of(log)
    if not sent:
        raise LoadError(f"tsung ended without sending anything\n{said}")
    _check(log, said)
    walked = passes_of(plan, log, outcomes)
    times = read_times(full)
    unfinished = sent - sum(outcomes.values())
    if unfinished < 0:
        raise LoadError(f"tsung's log has {-unfinished} more outcomes than requests\n{said}")
    lost = bool(unfinished or log.total("error_abort"))
    seconds = timeline_of(log)
    unmeasured = set(UNMEASURED)
    # tsung times a close without an answer as a request, and these times cannot be told apart.
    if log.total("winserve_closed") or times.request.count != log.samples("request")[0]:
        unmeasured.add("total")
    if times.connect.count != log.samples("connect")[0]:
        unmeasured.add("connect")
    if target.secure:
        unmeasured |= {"connect", "tls"}  # tsung times both as one
    total = Histogram() if "total" in unmeasured else times.request
    return Result(
        plan=plan,
        engine="tsung",
        url=target.url,
        sent=sent,
        outcomes=outcomes,
        dropped=planned - log.total("users_count") if plan.open_model else 0,
        elapsed=_elapsed(log, len(seconds)),
        connect=Histogram() if "connect" in unmeasured else times.connect,
        first_byte=Histogram(),
        total=total,
        tls=Histogram() if target.secure else None,
        sessions=times.session,
        timeline=seconds,
        by_backend={},
        by_request=walked.by_request,
        journeys=walked.journeys,
        unexpected=walked.unexpected,
        generator=Generator(
            workers=1, lost=int(lost), cpu=cpu, lag=None, limited_by=_limited_by(log, plan, cpu)
        ),
        unmeasured=frozenset(unmeasured),
    )


def known(log: TsungLog) -> str:
    """What is known of a run that did not end: `12 sent so far, outcomes: 200 11`."""
    outcomes = ", ".join(f"{name} {n}" for name, n in outcomes_of(log).items()) or "none"
    return f"{sent_of(log)} sent until its last second, outcomes: {outcomes}"


def _check(log: TsungLog, said: str) -> None:
    """Hold what the sessions counted against tsung's own counters."""
    counted = ("winserve_closed", "winserve_unknown", "winserve_unexpected")
    ended = sum(log.total(name) for name in counted)
    for name in log.names():
        if name.startswith("winserve_") and name[9:].isdigit():
            ended += log.total(name)
            if log.total(name) > log.total(name[9:]):
                raise LoadError(f"tsung counted fewer answers {name[9:]} than its users\n{said}")
    requests = log.samples("request")[0]
    if log.total("winserve_unknown") or ended > requests:
        raise LoadError(
            f"this tsung keeps answers in a way that is not known here: {requests} requests, "
            f"{log.total('winserve_unknown')} of them with an unknown end\n{said}"
        )


def _elapsed(log: TsungLog, seconds: int) -> float:
    """From the first user's start to the last one's end. Users that tsung ended do not say when:
    with some of these it is known to a second only, from the windows."""
    began = [
        line.lowest
        for block in log.blocks
        for line in block.lines
        if isinstance(line, Sample) and line.name == "winserve_began" and line.count
    ]
    ended = log.highest("winserve_ended")
    known = 0.0 if not began or ended is None else (ended - min(began)) / 1000
    if log.samples("winserve_ended")[0] == log.total("users_count"):
        return max(known, 0.001)
    return max(known, float(seconds - 1), 1.0)


def _limited_by(log: TsungLog, plan: Plan, cpu: float) -> str:
    limits: Counter[str] = Counter()
    for error, limit in _CLIENT_LIMITS.items():
        limits[limit] += log.total(_CONNECT + error)
    if any(limits.values()):
        return limits.most_common(1)[0][0]
    if cpu > CPU_LIMIT * _cores():
        return "generator-cpu"
    gone = sum(log.total(name) for name in (_GAVE_UP, *_RESETS, "error_timeout"))
    gone += sum(log.total(name) for name in log.names() if name.startswith("error_inet_"))
    return "client-users" if gone and not plan.open_model else "none"


def _cores() -> int:
    return os.cpu_count() or 1


def timeline_of(log: TsungLog) -> tuple[Second, ...]:
    """A second per block, from the first with a request to the last with anything."""
    seconds: list[Second] = []
    for block in log.blocks:
        second = _second(len(seconds), block)
        if seconds or second.started:
            seconds.append(second)
    while seconds and not (seconds[-1].started or seconds[-1].finished):
        seconds.pop()
    return tuple(seconds)


def _second(at: int, block: Block) -> Second:
    outcomes: Counter[str] = Counter()
    started = 0
    for line in block.lines:
        if isinstance(line, Count):
            now = int(line.now)
            outcome = outcome_of(line.name)
            if outcome is not None:
                outcomes[outcome] += now
            if line.name == "winserve_sent" or line.name.startswith(_CONNECT):
                started += now
            elif line.name == _GAVE_UP:
                started -= now
    count, total = _sums(block)
    return Second(
        at=at,
        started=started,
        finished=sum(outcomes.values()),
        outcomes={outcome: n for outcome, n in sorted(outcomes.items()) if n},
        connect_count=count["connect"],
        connect_sum=total["connect"],
        total_count=count["request"],
        total_sum=total["request"],
        session_count=count["winserve_session"],
        session_sum=total["winserve_session"],
    )


def _sums(block: Block) -> tuple[Mapping[str, int], Mapping[str, float]]:
    count: Counter[str] = Counter()
    total = {"connect": 0.0, "request": 0.0, "winserve_session": 0.0}
    for line in block.lines:
        if isinstance(line, Sample) and line.name in total:
            count[line.name] += line.count
            total[line.name] += line.count * line.mean / 1000
    return count, total
