"""What came back from a load: one value, whichever engine sent it. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pytest_winserve.load.criteria import (
    ROWS,
    Check,
    Criterion,
    demand,
    evaluate,
    parse_all,
    quantile_of,
)
from pytest_winserve.load.histogram import Histogram
from pytest_winserve.load.ledger import Ledger
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.tables import format_duration, format_rate, tsung_tables
from pytest_winserve.load.usage import SiteUsage

HOST_CPU_LIMIT = 0.95

NO_BACKEND = "-"
"""Key of `by_backend` for answers that name no backend, such as a front's own error page."""


def is_status(outcome: str) -> bool:
    """Whether an outcome is an HTTP status, so that there was an answer."""
    return outcome.isdigit()


def _dict_of(histogram: Histogram | None) -> dict[str, Any] | None:
    return None if histogram is None else histogram.to_dict()


def _histogram_of(data: Mapping[str, Any] | None) -> Histogram | None:
    return None if data is None else Histogram.from_dict(data)


def _good(outcome: str) -> bool:
    return outcome[0] in "23"


@dataclass(frozen=True, slots=True)
class BackendShare:
    """What one backend answered: how often, times as in Result, and how many answers were no 2xx or
    3xx (None where nobody told)."""

    answers: int
    total: Histogram
    errors: int | None = None
    service: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "answers": self.answers,
            "total": self.total.to_dict(),
            "errors": self.errors,
            "service": _dict_of(self.service),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BackendShare:
        total, service = Histogram.from_dict(data["total"]), _histogram_of(data.get("service"))
        return cls(data["answers"], total, data.get("errors"), service)


@dataclass(frozen=True, slots=True)
class RequestShare:
    """What became of one of the plan's requests: a count per outcome, and the times of its complete
    answers as in Result."""

    outcomes: Mapping[str, int]
    total: Histogram
    service: Histogram | None = None

    @property
    def ended(self) -> int:
        """Requests of this kind with an outcome: all that were sent, unless a worker was lost."""
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """Those that were not answered with 2xx or 3xx."""
        return sum(n for outcome, n in self.outcomes.items() if not _good(outcome))

    def to_dict(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self.outcomes),
            "total": self.total.to_dict(),
            "service": _dict_of(self.service),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RequestShare:
        total, service = Histogram.from_dict(data["total"]), _histogram_of(data["service"])
        return cls(dict(data["outcomes"]), total, service)


@dataclass(frozen=True, slots=True)
class OutcomeTimes:
    """How long the requests took that ended with one outcome, answered or not; as in Result."""

    total: Histogram
    service: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"total": self.total.to_dict(), "service": _dict_of(self.service)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OutcomeTimes:
        return cls(Histogram.from_dict(data["total"]), _histogram_of(data["service"]))


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one second of a load; `at` counts from 0, sums are in seconds.

    `started` counts requests begun, `finished` and `outcomes` those that ended, in this second.
    `total` has the times of its complete answers; None where only count and sum are known.
    """

    at: int
    started: int = 0
    finished: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    connect_count: int = 0
    connect_sum: float = 0.0
    total_count: int = 0
    total_sum: float = 0.0
    session_count: int = 0
    session_sum: float = 0.0
    total: Histogram | None = None

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {
            "outcomes": dict(self.outcomes),
            "total": _dict_of(self.total),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Second:
        return cls(**{**data, "total": _histogram_of(data.get("total"))})


@dataclass(frozen=True, slots=True)
class Generator:
    """The engine about itself.

    `workers` started, `lost` of them before their end; `cpu` is the largest share of one core that
    a worker used in any second; `lag` the 99th percentile in seconds of how late the event loop
    was (in the open model also of how late requests were sent), of the worst worker, None where
    the engine does not measure it; `limited_by` "none" or what made the generator the limit instead
    of the server. `host_cpu` is the share of all processors of the generator's machine that was in
    use, by whatever ran there; None where the engine does not measure it. `late` counts requests of
    the open model that were due more than 10 ms before they were begun or dropped; None in the
    closed model, where none is due, and where the engine does not measure it. `syn_retried`
    counts connects that took as long as one whose SYN was sent again, because it was dropped; None
    where it is not known when the generator's machine does that.
    """

    workers: int
    lost: int
    cpu: float
    lag: float | None
    limited_by: str
    host_cpu: float | None = None
    late: int | None = None
    syn_retried: int | None = None

    @property
    def shared(self) -> str:
        """That the machine had nothing left, so that the numbers are of all that ran on it; empty
        when it had."""
        if self.host_cpu is None or self.host_cpu <= HOST_CPU_LIMIT:
            return ""
        return (
            f"the generator's machine was busy ({self.host_cpu:.0%} of its processors): "
            "the numbers are of all that ran on it"
        )

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Generator:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Result:
    """What came back. ValueError when outcomes do not add up to what was sent.

    `outcomes` counts every request once: under its HTTP status, or "refused", "reset",
    "connect_timeout", "timeout", "closed_early", "bad_response", "client_limit". `dropped` requests
    were never sent (open model). `elapsed` runs from the first request counted to the last outcome.
    `connect` has successful connects, `first_byte` (from writing the request) and `total` (from
    wanting it, connect included; in the open model from its intended start) complete HTTP answers
    only. `service` is the same from when it was really begun: what the server took, where `total`
    is what a user waits; None where no request begins late, or the engine does not tell. `sessions`
    has users that ended by themselves. `unmeasured` names what the engine cannot measure, such as
    "first_byte".

    `by_backend` is keyed by the backend's index, `by_request` by the plan's `labels`, `by_outcome`
    by outcome, failures included. They are empty where the engine does not keep these apart.

    After a lost worker (`generator.lost`) the result holds what that worker last reported: `sent`
    may then exceed the outcomes, by `unfinished`, and no criterion holds on it.
    """

    plan: Plan
    engine: str
    url: str
    sent: int
    outcomes: Mapping[str, int]
    dropped: int
    elapsed: float
    connect: Histogram
    first_byte: Histogram
    total: Histogram
    sessions: Histogram
    timeline: tuple[Second, ...]
    by_backend: Mapping[str, BackendShare]
    generator: Generator
    ledger: Ledger | None = None
    unmeasured: frozenset[str] = frozenset()
    service: Histogram | None = None
    by_request: Mapping[str, RequestShare] = field(default_factory=dict)
    by_outcome: Mapping[str, OutcomeTimes] = field(default_factory=dict)
    site: SiteUsage | None = None

    def __post_init__(self) -> None:
        known = sum(self.outcomes.values())
        if self.sent != known and (self.generator.lost == 0 or self.sent < known):
            raise ValueError(f"{self.sent} requests sent, but {known} outcomes: {self.outcomes}")

    @property
    def unfinished(self) -> int:
        """Requests sent whose outcome was lost together with a worker; 0 without such a loss."""
        return self.sent - sum(self.outcomes.values())

    @property
    def answered(self) -> int:
        """Complete HTTP answers of any status."""
        return sum(n for outcome, n in self.outcomes.items() if is_status(outcome))

    @property
    def errors(self) -> int:
        """Everything sent that was not answered with 2xx or 3xx."""
        good = sum(n for outcome, n in self.outcomes.items() if _good(outcome))
        return self.sent - good

    @property
    def error_rate(self) -> float | None:
        """errors / sent; None when nothing was sent."""
        return self.errors / self.sent if self.sent else None

    @property
    def rate(self) -> float | None:
        """Answers per second over `elapsed`; None when nothing was sent."""
        return self.answered / self.elapsed if self.sent and self.elapsed > 0 else None

    @property
    def offered(self) -> float | None:
        """Requests per second that the plan wanted, whatever came of it; None in the closed model,
        where the answers set the pace."""
        return self.plan.offered

    def percentile(self, q: float) -> float | None:
        """Of the total time, in seconds; None without answers."""
        return self.total.percentile(q)

    def metric(self, name: str) -> tuple[float | None, int | None]:
        """The value of a criterion's metric and its number of samples; (None, n) if unmeasured."""
        if name == "error_rate":
            return self.error_rate, self.sent
        if name == "rate":
            return self.rate, self.answered
        if name == "unaccounted":
            return (None if self.ledger is None else self.ledger.unaccounted), None
        if name.startswith(("outcome(", "status(")):
            key = name.partition("(")[2].rstrip(")")
            return (self.outcomes.get(key, 0) if self.sent else None), self.sent
        return self._latency(name)

    def _latency(self, name: str) -> tuple[float | None, int | None]:
        histogram, bare = self._times_of(name)
        if histogram is None:
            return None, 0
        q = quantile_of(bare)
        if q is not None:
            return histogram.percentile(q), histogram.count
        if bare == "mean":
            return histogram.mean, histogram.count
        if bare == "max":
            return histogram.max, histogram.count
        return None, None

    def _times_of(self, metric: str) -> tuple[Histogram | None, str]:
        """The times that a metric such as `p95` or `connect.p95` is about, None where they were not
        measured; and what of them."""
        row, _, bare = metric.partition(".") if metric.startswith(ROWS) else ("total", "", metric)
        times: Histogram = getattr(self, row)
        return (None if row in self.unmeasured else times), bare

    @property
    def broken(self) -> str:
        """Why no criterion can hold on this result; empty when it is whole."""
        lost = self.generator.lost
        return f"{lost} of {self.generator.workers} load workers were lost" if lost else ""

    @property
    def limited(self) -> str:
        """Why the numbers are the load generator's and not the server's; empty when they are not
        known to be."""
        limit = self.generator.limited_by
        return "" if limit == "none" else f"the load generator was the limit ({limit})"

    @property
    def overflow(self) -> str:
        """That connects were dropped, where it is known, as a full listen queue does; empty when
        none is known to have been."""
        told = []
        retried, connects = self.generator.syn_retried, self.connect.count
        if retried:
            told.append(
                f"listen queue overflow or loss: {retried} of {connects} connects "
                f"({retried / connects:.2%}) were made by another try, a second or more after the "
                "first"
            )
        counted = None if self.site is None else self.site.listen_drops
        if counted is not None and counted.drops:
            told.append(
                f"the site's machine counted {counted.drops} dropped connects, "
                f"{counted.overflows} of them by a full listen queue"
            )
        return "; ".join(told)

    def checks(self, *criteria: Criterion, allow_limited: bool = False) -> tuple[Check, ...]:
        """What each criterion says about this result.

        None holds when the load generator was the limit, unless `allow_limited`, and none when it
        lost a worker.
        """
        refused = "" if allow_limited or not self.limited else f"{self.limited}, not the server"
        return tuple(
            evaluate(
                criterion,
                self,
                self.broken or refused,
                note=", ".join(filter(None, (self._interval(criterion), self.limited))),
            )
            for criterion in criteria
        )

    def _interval(self, criterion: Criterion) -> str:
        """Where a criterion's percentile lies, if the answers are independent; empty for others."""
        q = quantile_of(criterion.metric)
        times = None if q is None else self._times_of(criterion.metric)[0]
        found = None if q is None or times is None else times.percentile_interval(q)
        if found is None:
            return ""
        low, high = (criterion.show(float(f"{end:.3g}")) for end in found)
        return f"95% interval {low} to {high}"

    def require(self, *criteria: Criterion | str, allow_limited: bool = False) -> Result:
        """This result, or CriterionFailed with every criterion that fails and the evidence.

        `allow_limited` as in `checks`. UsageError for a criterion that cannot be parsed.
        """
        __tracebackhide__ = True
        checks = self.checks(*parse_all(criteria), allow_limited=allow_limited)
        demand(checks, self._evidence([check.criterion for check in checks if not check.passed]))
        return self

    def _evidence(self, failed: Sequence[Criterion]) -> list[str]:
        """What a reader needs to see why these criteria fail."""
        lines = [f"sent {self.sent} to {self.url}, outcomes: {_counts(self.outcomes)}"]
        if self.errors:
            bad = {name: n for name, n in self.outcomes.items() if not _good(name)}
            lost = {"lost with a worker": self.unfinished} if self.unfinished else {}
            lines.append(f"errors: {self.errors}, of them {_counts(bad | lost)}")
        answers = {index: share.answers for index, share in self.by_backend.items()}
        told = _counts(answers) if answers or not self.answered else "not measured"
        lines.append(f"answers by backend: {told}")
        lines += self._errors_by_backend()
        lines += self._errors_by_request()
        for criterion in failed:
            lines += self._slow_by(criterion)
        if self.dropped:
            lines.append(f"dropped, never sent: {self.dropped}")
        if self.limited:
            lines.append(
                f"{self.limited}: less was asked of the server than was meant. allow_limited=True "
                "of require(), or --winserve-limited=allow, has the criteria judged all the same"
            )
        if self.ledger is not None:
            lines += [f"ledger: {note}" for note in self.ledger.notes]
        return lines

    def _errors_by_backend(self) -> list[str]:
        """A line with the errors of each backend, where any is known to have answered with one."""
        named = {key: share for key, share in self.by_backend.items() if key != NO_BACKEND}
        known = {key: s.errors for key, s in named.items() if s.errors is not None}
        if not self.errors or not known:
            return []
        told = [f"{key} {n} of {named[key].answers}" for key, n in sorted(known.items())]
        rest = self.errors - sum(known.values())
        return [f"errors by backend: {', '.join(told)}; {rest} not answered by a backend"]

    def _errors_by_request(self) -> list[str]:
        """Which of the plan's requests the errors were, and how long those took that failed."""
        lines = []
        if self.errors and len(self.by_request) > 1:
            told = [f"{key} {one.errors} of {one.ended}" for key, one in self.by_request.items()]
            lines.append(f"errors by request: {', '.join(told)}")
        told = [
            f"{outcome} {format_duration(times.total.mean)}"
            for outcome, times in self.by_outcome.items()
            if not _good(outcome)
        ]
        return [*lines, f"mean time until an error: {', '.join(told)}"] if told else lines

    def _slow_by(self, criterion: Criterion) -> list[str]:
        """Lines with the answers of each backend, and of each of several requests, that were slower
        than a criterion allows."""
        of_total = criterion.kind == "latency" and not criterion.metric.startswith(ROWS)
        if not of_total or criterion.op not in {"<", "<="}:
            return []
        bound = criterion.value
        backends = {key: share.total for key, share in sorted(self.by_backend.items())}
        requests = {key: share.total for key, share in self.by_request.items()}
        lines = []
        for name, times in (("backend", backends), ("request", requests)):
            told = [f"{key} {h.above(bound)} of {h.count}" for key, h in times.items() if h.count]
            if told and (name == "backend" or len(requests) > 1):
                lines.append(f"slower than {criterion.show(bound)} by {name}: {', '.join(told)}")
        return lines

    def summary(self) -> str:
        """A few lines of text: what was the limit first, then counts, rates and times."""
        lines = []
        if self.generator.limited_by != "none":
            lines.append(f"LIMITED BY THE GENERATOR ({self.generator.limited_by}), not the server")
        if self.generator.lost:
            lines.append(
                f"INCOMPLETE: {self.generator.lost} of {self.generator.workers} workers were lost, "
                f"with {self.unfinished} requests under way and all after their last report"
            )
        lines += filter(None, [self.generator.shared, self.overflow])
        share = "-" if self.error_rate is None else f"{self.error_rate:.2%}"
        lines.append(
            f"{self.sent} sent in {self.elapsed:.2f} s: {self.answered} answered "
            f"({format_rate(self.rate)}), {self.errors} errors ({share})"
            + (f", {self.dropped} dropped" if self.dropped else "")
        )
        if self.offered is not None:
            late = self.generator.late
            lines.append(
                f"offered {format_rate(self.offered)}, answered {format_rate(self.rate)}, "
                + ("late not measured" if late is None else f"{late} late by more than 10 ms")
            )
        lines.append(f"outcomes: {_counts(self.outcomes)}")
        for name in ("connect", "first_byte", "total"):
            lines.append(f"{name}: {self._times(name)}")
        if set(self.by_backend) - {NO_BACKEND}:
            answers = {index: share.answers for index, share in self.by_backend.items()}
            lines.append(f"answers by backend: {_counts(answers)}")
        if self.ledger is not None:
            lines += self.ledger.lines()
        if self.site is not None:
            lines.append(self.site.summary())
        return "\n".join(lines)

    def _times(self, name: str) -> str:
        histogram: Histogram = getattr(self, name)
        if name in self.unmeasured or not histogram.count:
            return "not measured"
        values = [f"mean {format_duration(histogram.mean)}"]
        for q in (50, 95, 99):
            if histogram.enough_for(q):
                values.append(f"p{q} {format_duration(histogram.percentile(q))}")
        return ", ".join([*values, f"max {format_duration(histogram.max)}, n={histogram.count}"])

    def tsung_tables(self) -> dict[str, Any]:
        """The article's tables; see `pytest_winserve.load.tables.tsung_tables`."""
        return tsung_tables(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able and exact."""
        return {
            "plan": self.plan.to_dict(),
            "engine": self.engine,
            "url": self.url,
            "sent": self.sent,
            "outcomes": dict(self.outcomes),
            "dropped": self.dropped,
            "elapsed": self.elapsed,
            "connect": self.connect.to_dict(),
            "first_byte": self.first_byte.to_dict(),
            "total": self.total.to_dict(),
            "sessions": self.sessions.to_dict(),
            "timeline": [second.to_dict() for second in self.timeline],
            "by_backend": {key: share.to_dict() for key, share in self.by_backend.items()},
            "generator": self.generator.to_dict(),
            "ledger": None if self.ledger is None else self.ledger.to_dict(),
            "unmeasured": sorted(self.unmeasured),
            "service": _dict_of(self.service),
            "by_request": {key: share.to_dict() for key, share in self.by_request.items()},
            "by_outcome": {key: times.to_dict() for key, times in self.by_outcome.items()},
            "site": None if self.site is None else self.site.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """The inverse of to_dict."""
        ledger = data["ledger"]
        shares = data["by_backend"].items()
        # Older files do not have these.
        requests, times = data.get("by_request", {}), data.get("by_outcome", {})
        site = data.get("site")
        return cls(
            plan=Plan.from_dict(data["plan"]),
            engine=data["engine"],
            url=data["url"],
            sent=data["sent"],
            outcomes=dict(data["outcomes"]),
            dropped=data["dropped"],
            elapsed=data["elapsed"],
            connect=Histogram.from_dict(data["connect"]),
            first_byte=Histogram.from_dict(data["first_byte"]),
            total=Histogram.from_dict(data["total"]),
            sessions=Histogram.from_dict(data["sessions"]),
            timeline=tuple(Second.from_dict(second) for second in data["timeline"]),
            by_backend={key: BackendShare.from_dict(share) for key, share in shares},
            generator=Generator.from_dict(data["generator"]),
            ledger=None if ledger is None else Ledger.from_dict(ledger),
            unmeasured=frozenset(data["unmeasured"]),
            service=_histogram_of(data.get("service")),
            by_request={key: RequestShare.from_dict(share) for key, share in requests.items()},
            by_outcome={key: OutcomeTimes.from_dict(one) for key, one in times.items()},
            site=None if site is None else SiteUsage.from_dict(site),
        )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
