"""What was measured, in words, for every form of the report.

The three forms (terminal, Markdown, HTML) differ in layout only; that a capacity does not match, or
that something was not measured, is decided and worded here once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from pytest_winserve.load.measures.outcomes import is_good
from pytest_winserve.load.results.complaints import Complaint, shown
from pytest_winserve.load.results.journeys import unexpected_lines
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import (
    CapacityRecord,
    CheckRecord,
    ExchangeRecord,
    VerdictRecord,
)
from pytest_winserve.report.numbers import (
    NOT_MEASURED,
    histogram_text,
    per_second,
    percent,
    plural,
    seconds,
)
from pytest_winserve.report.record import Requirement


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding in words. `good` is None when it is neither good nor bad."""

    text: str
    good: bool | None = None


DEVELOPMENT = "this server is made for development, not to deploy with"


# Findings


def verdict_sentence(verdict: VerdictRecord) -> Sentence:
    """Whether a slow request holds up fast ones, how many, and on which backends."""
    number, slow = verdict.fast_count, verdict.slow
    if number == 0:
        return Sentence(f"blocking {NOT_MEASURED}: no fast request was sent", good=False)
    if verdict.non_blocking:
        which = "the fast request was" if number == 1 else f"all {number} fast requests were"
        return Sentence(f"does not block: {which} answered during {slow}", good=True)
    fraction = verdict.blocked_fraction
    blocked = [request for request in verdict.fast_requests if request.blocked]
    count = len(blocked) if verdict.fast_requests else round(fraction * number)
    where = _backends(blocked)
    longest = f", up to {seconds(max(verdict.wait_seconds))}" if verdict.wait_seconds else ""
    return Sentence(
        f"BLOCKS: {count} of {plural(number, 'fast request')} ({percent(fraction)}) "
        f"had to wait for {slow}{longest}{f' ({where})' if where else ''}",
        good=False,
    )


def verdict_details(verdict: VerdictRecord) -> str:
    """The times of a probe, and the answers that were no 2xx or 3xx."""
    parts = []
    for path, times, requests in (
        (verdict.fast, verdict.fast_seconds, verdict.fast_requests),
        (verdict.slow, verdict.slow_seconds, verdict.slow_requests),
    ):
        if times:
            parts.append(f"{path}: median {seconds(median(times))}, max {seconds(max(times))}")
        statuses = Counter(request.status for request in requests)
        unanswered = statuses.pop(None, 0)
        if unanswered:
            parts.append(f"{path} got no answer {plural(unanswered, 'time')}")
        parts.extend(
            f"{path} answered {status} {plural(count, 'time')}"
            for status, count in sorted(statuses.items())
            if not is_good(str(status))
        )
    if verdict.idle_seconds:
        idle = verdict.idle_seconds
        parts.append(
            f"{verdict.fast} when idle: median {seconds(median(idle))}, max {seconds(max(idle))}"
        )
        if longest := max(verdict.wait_seconds):
            parts.append(f"waited beyond that: up to {seconds(longest)}")
    if verdict.delayed_fraction:
        parts.append(
            f"{percent(verdict.delayed_fraction)} were answered before {verdict.slow}, but waited "
            "for more than a fifth of it"
        )
    if verdict.sleepers != 1:
        parts.append(f"{verdict.sleepers} slow requests at the same time")
    return "; ".join(parts)


def _backends(requests: Iterable[ExchangeRecord]) -> str:
    """Such as `backend 0: 2, backend 3: 1`; empty when no request says which backend served it."""
    counts = Counter(request.backend for request in requests)
    counts.pop(None, None)
    return ", ".join(f"backend {index}: {count}" for index, count in sorted(counts.items()))


def capacity_sentence(capacity: CapacityRecord, topology: str) -> Sentence:
    """How many requests ran at once, against what the server declares."""
    value, at_least, declared = capacity.value, capacity.at_least, capacity.declared
    measured = f"at least {value}" if at_least else f"{value}"
    if capacity.as_declared is False:
        promised = "no bound" if declared is None else f"{declared} by {topology}"
        return Sentence(f"MEASURED {measured} at once, DECLARED {promised}", good=False)
    runs = f"runs {measured} {'request' if value == 1 and not at_least else 'requests'} at once"
    if capacity.as_declared is None:
        return Sentence(f"{runs}; what {topology} declares is unknown")
    if declared is None:
        return Sentence(f"{runs}; no bound declared", good=True)
    return Sentence(f"{runs}; {topology} declares {declared}", good=True)


def capacity_details(capacity: CapacityRecord) -> str:
    """How the capacity was found, and its share per backend."""
    shares = capacity.per_backend
    parts = [capacity.how]
    if shares and len(shares) > 1:
        parts.append(f"per backend {' + '.join(str(share) for share in shares)}")
    if capacity.at_least:
        parts.append(f"not tried beyond {capacity.limit}")
    return "; ".join(parts)


def check_sentence(check: CheckRecord) -> Sentence:
    """A criterion, what was measured, and why it fails when it does."""
    measured, reason = check.measured, check.reason
    value = NOT_MEASURED if measured is None else f"measured {measured}"
    if measured is None and NOT_MEASURED in reason:
        value, reason = reason, ""
    state = "holds" if check.passed else "FAILED"
    why = f" ({reason})" if reason else ""
    # One that nearly fails is no good news.
    good = None if check.close else check.passed
    return Sentence(f"{state} {check.criterion}: {value}{why}", good=good)


def requirement_sentence(requirement: Requirement) -> Sentence:
    """What became of a criterion that the whole run requires."""
    required, failed = f"required {requirement.criterion}", requirement.failed
    measurements = plural(requirement.evaluated, "measurement")
    if requirement.evaluated == 0:
        return Sentence(f"{required}: NEVER MEASURED", good=False)
    if failed:
        return Sentence(f"{required}: FAILED in {failed} of {measurements}", good=False)
    return Sentence(f"{required}: held in {measurements}", good=True)


def logged_sentences(logged: Sequence[Complaint] | None) -> list[Sentence]:
    """What the site's programs complained of in their logs during a measurement."""
    return [
        Sentence(f"LOGGED meanwhile: {words}", good=False)
        if grave
        else Sentence(f"logged meanwhile: {words}")
        for words, grave in shown(logged or ())
    ]


# A load


def load_title(result: Result) -> str:
    """What was sent: `load by builtin: 500 users, 10 s, one connection per request, GET /test`."""
    plan = result.plan
    if plan.rate is not None:
        parts = [f"{plan.rate:g} arrivals/s" if not plan.stages else "staged arrivals"]
    else:
        parts = [plural(plan.users, "user")]
    if plan.stages:
        parts.append(f"in {plural(len(plan.stages), 'stage')}")
    if plan.count is not None:
        # The plural of a pass is no pass and an s.
        passes = "1 pass" if plan.count == 1 else f"{plan.count} passes"
        parts.append(passes if plan.journeys else plural(plan.count, "request"))
    if plan.duration is not None:
        parts.append(f"{plan.duration:g} s")
    parts.append("keep-alive" if plan.keepalive else "one connection per request")
    first, *more = [f"journey {j.name}" for j in plan.journeys] or [
        f"{request.method} {request.path}" for request in plan.requests
    ]
    parts.append(first + (f" and {len(more)} more" if more else ""))
    return f"load by {result.engine}: {', '.join(parts)}"


def load_warnings(result: Result) -> list[Sentence]:
    """What makes the numbers of this load something else than the server's; read it first."""
    warnings = []
    generator = result.generator
    if generator.limited_by != "none":
        warnings.append(
            f"LIMITED BY THE LOAD GENERATOR ({generator.limited_by}): "
            "these numbers are its limit, not the server's"
        )
    if generator.lost:
        warnings.append(
            f"INCOMPLETE: {generator.lost} of {plural(generator.workers, 'load worker')} "
            f"were lost, with them the outcome of {plural(result.unfinished, 'request')} or more"
        )
    if result.dropped:
        warnings.append(
            f"{plural(result.dropped, 'request')} never sent: "
            f"{result.plan.users} were in flight already"
        )
    warnings += [f"BROKEN OFF: {one.line}" for one in result.journeys if one.broken_off]
    warnings += [f"UNEXPECTED: {line}" for line in unexpected_lines(result.unexpected)]
    if result.redirected:
        warnings.append(f"REDIRECTS: {result.redirected}")
    warnings += [f"NOT THE SAME: {words}" for words in result.differences]
    warnings += [f"LEADS ELSEWHERE: {words}" for words in result.astray]
    if result.sent == 0:
        warnings.append("nothing was sent: every number of this load is not measured")
    sentences = [Sentence(text, good=False) for text in warnings]
    if result.overflow:
        # What its machine counted alone may be somebody else's.
        sentences.append(Sentence(result.overflow, good=False if generator.syn_retried else None))
    sentences += logged_sentences(result.logged)
    # On one machine with the server this is how it is: to be known, and nobody's fault.
    return [*sentences, *([Sentence(generator.shared)] if generator.shared else [])]


def load_counts(result: Result) -> Sentence:
    """Sent, answered, errors and rate in one line."""
    if result.sent == 0:
        return Sentence("sent 0; error rate and answers per second not measured", good=False)
    errors = f"errors {result.errors} ({percent(result.error_rate)})"
    return Sentence(
        f"sent {result.sent}, answered {result.answered}, {errors}, {per_second(result.rate)}",
        good=result.errors == 0,
    )


def pace(result: Result) -> str:
    """What was offered beside what was answered, and what came late; empty in the closed model."""
    if result.offered is None:
        return ""
    late = result.generator.late
    lateness = f"late {NOT_MEASURED}" if late is None else f"{late} late by more than 10 ms"
    return f"offered {per_second(result.offered)}, answered {per_second(result.rate)}; {lateness}"


def latency(result: Result) -> str:
    """`p50 12.0 ms, p95 312 ms, p99 1.20 s, max 3.40 s (12034 answers)` of the total times.

    The service times follow where they are others.
    """
    if "total" in result.unmeasured:
        return f"p50, p95, p99 and max {NOT_MEASURED}"
    text = f"{histogram_text(result.total)} ({plural(result.total.count, 'answer')})"
    if result.service is None:
        return text
    return f"from the intended start {text}; service time {histogram_text(result.service)}"


def ledger_text(result: Result) -> Sentence:
    """The reconciliation in one line; green only when everything adds up."""
    ledger = result.ledger
    if ledger is None:
        return Sentence(f"ledger: {NOT_MEASURED}")
    unaccounted = ledger.unaccounted
    total = NOT_MEASURED if unaccounted is None else str(unaccounted)
    good = None if unaccounted is None else unaccounted == 0
    return Sentence(f"ledger: {'; '.join(ledger.lines())}; unaccounted: {total}", good)


def unmeasured_text(result: Result) -> str:
    """What the engine could not measure; empty when it measured everything."""
    names = ", ".join(sorted(result.unmeasured))
    return f"{result.engine} could not measure: {names}" if names else ""


def event_parts(event: str, limit: int) -> tuple[str, list[str], int]:
    """The first line of an event, the last `limit` lines of the rest, and how many are left out.

    An event often ends in the tail of a log, and the end is what says why.
    """
    first, *rest = event.strip().splitlines() or [""]
    left_out = max(len(rest) - limit, 0)
    return first, rest[left_out:], left_out
