"""What came back from a load: one value, whichever engine sent it. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.load.criteria import (
    ROWS,
    Check,
    Criterion,
    about_redirects,
    demand,
    evaluate,
    parse_all,
    quantile_of,
)
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import is_answer, is_good
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.answers import (
    Answers,
    differences,
    nothing_but_redirects,
    redirects,
    redirects_text,
)
from pytest_winserve.load.results.complaints import Complaint, logged_dict, logged_of
from pytest_winserve.load.results.evidence import evidence, summary
from pytest_winserve.load.results.journeys import JourneyShare, Unexpected
from pytest_winserve.load.results.ledger import Ledger
from pytest_winserve.load.results.shares import (
    BackendShare,
    Generator,
    OutcomeTimes,
    RequestShare,
    Second,
    dict_of,
    histogram_of,
)
from pytest_winserve.load.results.tsung_tables import tsung_tables
from pytest_winserve.load.results.usage import SiteUsage


@dataclass(frozen=True, slots=True)
class Result:
    """What came back. ValueError when outcomes do not add up to what was sent.

    `outcomes` counts every request once: under its HTTP status, or "refused", "reset",
    "connect_timeout", "tls_failed", "tls_timeout", "timeout", "closed_early", "bad_response",
    "client_limit", "unexpected" (an answer, but not what its journey's step expects). `dropped`
    requests were never sent (open model). `elapsed` runs from the first request counted to the last
    outcome. `connect` has successful TCP connects, `tls` the handshakes after them (None without
    TLS), `first_byte` (from writing the request) and `total` (from wanting it, connect included; in
    the open model from its intended start) complete HTTP answers only.
    `service` is the same from when it was really begun: what the server took, where `total`
    is what a user waits; None where no request begins late, or the engine does not tell. `sessions`
    has users that ended by themselves. `unmeasured` names what the engine cannot measure, such as
    "first_byte".

    `by_backend` is keyed by the backend's index, `by_request` by the plan's `labels`, `by_outcome`
    by outcome, failures included. They are empty where the engine does not keep these apart.

    `logged` is what the programs of the site complained of in their logs meanwhile; None where
    nobody has looked.

    `answers` has the answers by status, place of a redirect and size, and what single requests got
    just before; None where nobody told.

    `journeys` has the plan's journeys with their passes, and `unexpected` the answers that were not
    as a step expects: their outcome is "unexpected".

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
    logged: tuple[Complaint, ...] | None = None
    answers: Answers | None = None
    journeys: tuple[JourneyShare, ...] = ()
    unexpected: tuple[Unexpected, ...] = ()
    tls: Histogram | None = None
    _required: list[Criterion] = field(default_factory=list, init=False, repr=False, compare=False)

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
        """Complete HTTP answers of any status, as expected or not."""
        return sum(n for outcome, n in self.outcomes.items() if is_answer(outcome))

    @property
    def errors(self) -> int:
        """Everything sent that was not answered with 2xx or 3xx."""
        good = sum(n for outcome, n in self.outcomes.items() if is_good(outcome))
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
            count = self.outcomes.get(key, 0)
            # An unexpected answer has a status, too: none of them is hidden from a criterion.
            count += sum(one.count for one in self.unexpected if one.status == key)
            return (count if self.sent else None), self.sent
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
        times: Histogram | None = getattr(self, row)
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
        lost a worker. None holds when all answers were redirects, unless one of the criteria names
        a status 3xx: `status(302) >= 0` says that they are wanted; or all steps expect theirs.
        """
        refused = "" if allow_limited or not self.limited else f"{self.limited}, not the server"
        only_redirects = nothing_but_redirects(self.outcomes) and self.redirected
        if only_redirects and not any(map(about_redirects, criteria)):
            refused = refused or f"nothing but redirects: {self.redirected}"
        return tuple(
            evaluate(
                criterion,
                self,
                self.broken or refused,
                note=", ".join(filter(None, (self._interval(criterion), self.limited))),
            )
            for criterion in criteria
        )

    @property
    def redirected(self) -> str:
        """What share of the answers were redirects, and where to; empty when none was. Those that a
        step of a journey expects, or follows, are left out."""
        expected = {
            label: redirects(self.by_request[label].outcomes)
            for label in self.plan.redirecting
            if label in self.by_request
        }
        return redirects_text(self.outcomes, self.answers, expected)

    @property
    def differences(self) -> list[str]:
        """How the answers differ from what a single request got just before the load."""
        return differences(self.outcomes, self.answers)

    @property
    def astray(self) -> tuple[str, ...]:
        """What in the answers leads elsewhere than to where the client asked, once per kind."""
        return () if self.answers is None else self.answers.astray

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
        self._required.extend(check.criterion for check in checks)
        failed = [check.criterion for check in checks if not check.passed]
        demand(checks, evidence(self, failed))
        return self

    @property
    def required(self) -> bool:
        """Whether `require` was asked of it with any criterion."""
        return bool(self._required)

    def summary(self) -> str:
        """A few lines of text: what was the limit first, then counts, rates and times."""
        return summary(self)

    def tsung_tables(self) -> dict[str, Any]:
        """The article's tables; see `pytest_winserve.load.results.tsung_tables.tsung_tables`."""
        return tsung_tables(self.timeline, self.outcomes, self.elapsed)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able and exact."""
        return {
            "plan": self.plan.without_secrets().to_dict(),
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
            "service": dict_of(self.service),
            "by_request": {key: share.to_dict() for key, share in self.by_request.items()},
            "by_outcome": {key: times.to_dict() for key, times in self.by_outcome.items()},
            "site": None if self.site is None else self.site.to_dict(),
            **logged_dict(self.logged),
            **({} if self.tls is None else {"tls": self.tls.to_dict()}),
            **({} if self.answers is None else {"answers": self.answers.to_dict()}),
            **self._journeys_dict(),
        }

    def _journeys_dict(self) -> dict[str, Any]:
        if not self.journeys:
            return {}
        return {
            "journeys": [one.to_dict() for one in self.journeys],
            "unexpected": [one.to_dict() for one in self.unexpected],
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
            service=histogram_of(data.get("service")),
            by_request={key: RequestShare.from_dict(share) for key, share in requests.items()},
            by_outcome={key: OutcomeTimes.from_dict(one) for key, one in times.items()},
            site=None if site is None else SiteUsage.from_dict(site),
            logged=logged_of(data),
            tls=histogram_of(data.get("tls")),
            answers=None if "answers" not in data else Answers.from_dict(data["answers"]),
            journeys=tuple(map(JourneyShare.from_dict, data.get("journeys", ()))),
            unexpected=tuple(map(Unexpected.from_dict, data.get("unexpected", ()))),
        )
