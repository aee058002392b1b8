"""What a result tells its reader: a summary, and why a criterion does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pytest_winserve.load.criteria import ROWS, Criterion
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import NO_BACKEND, is_good
from pytest_winserve.load.measures.units import format_duration, format_rate
from pytest_winserve.load.results.answers import nothing_but_redirects
from pytest_winserve.load.results.complaints import Complaint, shown
from pytest_winserve.load.results.journeys import JourneyShare, Unexpected, unexpected_lines
from pytest_winserve.load.results.ledger import Ledger
from pytest_winserve.load.results.shares import (
    BackendShare,
    Generator,
    OutcomeTimes,
    RequestShare,
)
from pytest_winserve.load.results.usage import SiteUsage


class ResultFacts(Protocol):
    """What is told of a `Result`; its docstring says what each part is."""

    @property
    def url(self) -> str: ...
    @property
    def tls(self) -> Histogram | None: ...
    @property
    def sent(self) -> int: ...
    @property
    def answered(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def unfinished(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def elapsed(self) -> float: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def offered(self) -> float | None: ...
    @property
    def error_rate(self) -> float | None: ...
    @property
    def outcomes(self) -> Mapping[str, int]: ...
    @property
    def by_backend(self) -> Mapping[str, BackendShare]: ...
    @property
    def by_request(self) -> Mapping[str, RequestShare]: ...
    @property
    def by_outcome(self) -> Mapping[str, OutcomeTimes]: ...
    @property
    def generator(self) -> Generator: ...
    @property
    def limited(self) -> str: ...
    @property
    def overflow(self) -> str: ...
    @property
    def unmeasured(self) -> frozenset[str]: ...
    @property
    def ledger(self) -> Ledger | None: ...
    @property
    def logged(self) -> tuple[Complaint, ...] | None: ...
    @property
    def redirected(self) -> str: ...
    @property
    def differences(self) -> list[str]: ...
    @property
    def astray(self) -> tuple[str, ...]: ...
    @property
    def site(self) -> SiteUsage | None: ...
    @property
    def journeys(self) -> tuple[JourneyShare, ...]: ...
    @property
    def unexpected(self) -> tuple[Unexpected, ...]: ...


def evidence(result: ResultFacts, failed: Sequence[Criterion]) -> list[str]:
    """What a reader needs to see why these criteria fail."""
    lines = [f"sent {result.sent} to {result.url}, outcomes: {_counts(result.outcomes)}"]
    lines += [result.redirected] if result.redirected else []
    if nothing_but_redirects(result.outcomes) and result.redirected:
        lines.append("where redirects are what is measured, a criterion says so: status(302) >= 0")
    lines += [*result.differences, *result.astray]
    if result.errors:
        bad = {name: n for name, n in result.outcomes.items() if not is_good(name)}
        lost = {"lost with a worker": result.unfinished} if result.unfinished else {}
        lines.append(f"errors: {result.errors}, of them {_counts(bad | lost)}")
    lines += _journeys(result)
    answers = {index: share.answers for index, share in result.by_backend.items()}
    told = _counts(answers) if answers or not result.answered else "not measured"
    lines.append(f"answers by backend: {told}")
    lines += _errors_by_backend(result)
    lines += _errors_by_request(result)
    for criterion in failed:
        lines += _slow_by(result, criterion)
    if result.dropped:
        lines.append(f"dropped, never sent: {result.dropped}")
    if result.limited:
        lines.append(
            f"{result.limited}: less was asked of the server than was meant. allow_limited=True "
            "of require(), or --winserve-limited=allow, has the criteria judged all the same"
        )
    if result.ledger is not None:
        lines += [f"ledger: {note}" for note in result.ledger.notes]
    return lines


def summary(result: ResultFacts) -> str:
    """A few lines of text: what was the limit first, then counts, rates and times."""
    lines = []
    if result.generator.limited_by != "none":
        lines.append(f"LIMITED BY THE GENERATOR ({result.generator.limited_by}), not the server")
    if result.generator.lost:
        lines.append(
            f"INCOMPLETE: {result.generator.lost} of {result.generator.workers} workers were lost, "
            f"with {result.unfinished} requests under way and all after their last report"
        )
    lines += filter(None, [result.generator.shared, result.overflow])
    share = "-" if result.error_rate is None else f"{result.error_rate:.2%}"
    lines.append(
        f"{result.sent} sent in {result.elapsed:.2f} s: {result.answered} answered "
        f"({format_rate(result.rate)}), {result.errors} errors ({share})"
        + (f", {result.dropped} dropped" if result.dropped else "")
    )
    if result.offered is not None:
        late = result.generator.late
        lines.append(
            f"offered {format_rate(result.offered)}, answered {format_rate(result.rate)}, "
            + ("late not measured" if late is None else f"{late} late by more than 10 ms")
        )
    lines.append(f"outcomes: {_counts(result.outcomes)}")
    lines += [*filter(None, [result.redirected]), *result.differences, *result.astray]
    lines += _journeys(result)
    for name in ("connect", *(["tls"] if result.tls is not None else []), "first_byte", "total"):
        lines.append(f"{name}: {_times(result, name)}")
    if set(result.by_backend) - {NO_BACKEND}:
        answers = {index: share.answers for index, share in result.by_backend.items()}
        lines.append(f"answers by backend: {_counts(answers)}")
    if result.ledger is not None:
        lines += result.ledger.lines()
    if result.site is not None:
        lines.append(result.site.summary())
    lines += [f"logged: {words}" for words, _ in shown(result.logged or ())]
    return "\n".join(lines)


def _journeys(result: ResultFacts) -> list[str]:
    return [
        *(f"journey {one.line}" for one in result.journeys),
        *(f"unexpected: {line}" for line in unexpected_lines(result.unexpected)),
    ]


def _errors_by_backend(result: ResultFacts) -> list[str]:
    """A line with the errors of each backend, where any is known to have answered with one."""
    named = {key: share for key, share in result.by_backend.items() if key != NO_BACKEND}
    known = {key: s.errors for key, s in named.items() if s.errors is not None}
    if not result.errors or not known:
        return []
    told = [f"{key} {n} of {named[key].answers}" for key, n in sorted(known.items())]
    rest = result.errors - sum(known.values())
    return [f"errors by backend: {', '.join(told)}; {rest} not answered by a backend"]


def _errors_by_request(result: ResultFacts) -> list[str]:
    """Which of the plan's requests the errors were, and how long those took that failed."""
    lines = []
    if result.errors and len(result.by_request) > 1:
        told = [f"{key} {one.errors} of {one.ended}" for key, one in result.by_request.items()]
        lines.append(f"errors by request: {', '.join(told)}")
    told = [
        f"{outcome} {format_duration(times.total.mean)}"
        for outcome, times in result.by_outcome.items()
        if not is_good(outcome)
    ]
    return [*lines, f"mean time until an error: {', '.join(told)}"] if told else lines


def _slow_by(result: ResultFacts, criterion: Criterion) -> list[str]:
    """Lines with the answers of each backend, and of each of several requests, that were slower
    than a criterion allows."""
    of_total = criterion.kind == "latency" and not criterion.metric.startswith(ROWS)
    if not of_total or criterion.op not in {"<", "<="}:
        return []
    bound = criterion.value
    backends = {key: share.total for key, share in sorted(result.by_backend.items())}
    requests = {key: share.total for key, share in result.by_request.items()}
    lines = []
    for name, times in (("backend", backends), ("request", requests)):
        told = [f"{key} {h.above(bound)} of {h.count}" for key, h in times.items() if h.count]
        if told and (name == "backend" or len(requests) > 1):
            lines.append(f"slower than {criterion.show(bound)} by {name}: {', '.join(told)}")
    return lines


def _times(result: ResultFacts, name: str) -> str:
    histogram: Histogram = getattr(result, name)
    if name in result.unmeasured or not histogram.count:
        return "not measured"
    values = [f"mean {format_duration(histogram.mean)}"]
    for q in (50, 95, 99):
        if histogram.enough_for(q):
            values.append(f"p{q} {format_duration(histogram.percentile(q))}")
    return ", ".join([*values, f"max {format_duration(histogram.max)}, n={histogram.count}"])


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
