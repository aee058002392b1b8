"""What results.json says, grouped by topology and put into words, for every form of the report.

The three forms (terminal, Markdown, HTML) differ in layout only; that a capacity does not match, or
that something was not measured, is decided and worded here once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.load.histogram import Histogram
from pytest_winserve.load.result import NO_BACKEND, Result
from pytest_winserve.load.tables import format_duration, format_rate, tsung_tables
from pytest_winserve.load.usage import format_cpu, format_memory

NOT_MEASURED = "not measured"
N_SMALL = "n small"

QUANTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding in words. `good` is None when it is neither good nor bad."""

    text: str
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """One load: the test that sent it, its result, the article's tables and the criteria."""

    nodeid: str
    result: Result
    tables: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Block:
    """All that was measured of one app on one topology of one host."""

    host: str
    topology: str
    app: str
    tests: list[tuple[str, str]] = field(default_factory=list)
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    capacities: list[Mapping[str, Any]] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether there is anything to show but the outcomes of the tests."""
        return bool(self.verdicts or self.capacities or self.loads)

    @property
    def outcomes(self) -> str:
        """Such as `2 passed, 1 failed`."""
        counts = Counter(outcome for _, outcome in self.tests)
        return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))

    @property
    def telling_checks(self) -> list[Mapping[str, Any]]:
        """The criteria that do not hold, or only just, of the verdicts, capacities and loads."""
        return [check for check in self.checks if not check["passed"] or check.get("close")]

    @property
    def checks(self) -> list[Mapping[str, Any]]:
        """Every criterion that was evaluated, in the order of the measurements."""
        sources: list[Sequence[Mapping[str, Any]]] = [
            *(verdict["checks"] for verdict in self.verdicts),
            *(capacity["checks"] for capacity in self.capacities),
            *(load.checks for load in self.loads),
        ]
        return [check for source in sources for check in source]


def blocks(data: Mapping[str, Any]) -> list[Block]:
    """The tests of `data` grouped by host, topology and app, in the order they first appear.

    UsageError when a result in `data` is damaged.
    """
    found: dict[tuple[str, str, str], Block] = {}
    for test in data["tests"]:
        key = (test["host"], test["topology"], test["app"])
        block = found.setdefault(key, Block(*key))
        block.tests.append((test["nodeid"], test["outcome"]))
        block.verdicts.extend(test["verdicts"])
        block.capacities.extend(test["capacities"])
        block.events.extend(test["events"])
        for raw in test["results"]:
            block.loads.append(_load(test["nodeid"], raw))
    return list(found.values())


def read_result(nodeid: str, raw: Mapping[str, Any]) -> Result:
    """A result as it stands in results.json. UsageError, naming the test, when it is damaged."""
    try:
        return Result.from_dict({key: raw[key] for key in raw if key != "checks"})
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a result of {nodeid} cannot be read: {error!r}") from error


def _load(nodeid: str, raw: Mapping[str, Any]) -> Load:
    result = read_result(nodeid, raw)
    return Load(nodeid, result, tsung_tables(result), raw["checks"])


# Numbers


def seconds(value: float | None) -> str:
    """A duration with three significant digits in the unit that suits it: `0.42 ms`, `1.20 s`."""
    if value is None:
        return NOT_MEASURED
    if value >= 100:
        return f"{value:.0f} s"
    if value >= 10:
        return f"{value:.1f} s"
    # 0.9995 s and more would print as 1000 ms.
    if value >= 0.9995:
        return f"{value:.2f} s"
    milliseconds = value * 1000
    if milliseconds >= 100:
        return f"{milliseconds:.0f} ms"
    if milliseconds >= 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.2f} ms"


def percent(fraction: float | None) -> str:
    """A share as per cent. Only 0 and 1 themselves print as `0 %` and `100 %`."""
    if fraction is None:
        return NOT_MEASURED
    value = fraction * 100
    if 0 < value < 0.01:
        return "< 0.01 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    text = f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def per_second(value: float | None) -> str:
    """A rate: `1203.4 /s`."""
    return NOT_MEASURED if value is None else f"{value:.1f} /s"


def plural(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# Findings


def verdict_sentence(verdict: Mapping[str, Any]) -> Sentence:
    """Whether a slow request holds up fast ones, how many, and on which backends."""
    requests = verdict["fast_requests"]
    number = len(requests) or len(verdict["fast_seconds"])
    if number == 0:
        return Sentence(f"blocking {NOT_MEASURED}: no fast request was sent", good=False)
    fraction = verdict["blocked_fraction"]
    slow = verdict["slow"]
    if verdict["non_blocking"]:
        which = "the fast request was" if number == 1 else f"all {number} fast requests were"
        return Sentence(f"does not block: {which} answered during {slow}", good=True)
    blocked = [request for request in requests if request["blocked"]]
    count = len(blocked) if requests else round(fraction * number)
    where = _backends(blocked)
    return Sentence(
        f"BLOCKS: {count} of {plural(number, 'fast request')} ({percent(fraction)}) "
        f"had to wait for {slow}{f' ({where})' if where else ''}",
        good=False,
    )


def verdict_details(verdict: Mapping[str, Any]) -> str:
    """The times of a probe, and the answers that were no 2xx or 3xx."""
    parts = []
    for name in ("fast", "slow"):
        times = verdict[f"{name}_seconds"]
        if times:
            parts.append(
                f"{verdict[name]}: median {seconds(median(times))}, max {seconds(max(times))}"
            )
        unanswered = sum(request["status"] is None for request in verdict[f"{name}_requests"])
        if unanswered:
            parts.append(f"{verdict[name]} got no answer {plural(unanswered, 'time')}")
        bad = Counter(
            request["status"]
            for request in verdict[f"{name}_requests"]
            if request["status"] is not None and not 200 <= request["status"] < 400
        )
        parts.extend(
            f"{verdict[name]} answered {status} {plural(count, 'time')}"
            for status, count in sorted(bad.items())
        )
    if verdict["sleepers"] != 1:
        parts.append(f"{verdict['sleepers']} slow requests at the same time")
    return "; ".join(parts)


def _backends(requests: Iterable[Mapping[str, Any]]) -> str:
    """Such as `backend 0: 2, backend 3: 1`; empty when no request says who served it."""
    counts = Counter(request["backend"] for request in requests)
    counts.pop(None, None)
    return ", ".join(f"backend {index}: {count}" for index, count in sorted(counts.items()))


def capacity_sentence(capacity: Mapping[str, Any], topology: str) -> Sentence:
    """How many requests ran at once, against what the server declares."""
    value, at_least, declared = (capacity[key] for key in ("value", "at_least", "declared"))
    measured = f"at least {value}" if at_least else f"{value}"
    runs = f"runs {measured} {'request' if value == 1 and not at_least else 'requests'} at once"
    if declared == "unknown":
        return Sentence(f"{runs}; what {topology} declares is unknown")
    if declared is None:
        if at_least:
            return Sentence(f"{runs}; no bound declared", good=True)
        return Sentence(f"MEASURED {value} at once, DECLARED no bound", good=False)
    if value > declared or (value < declared and not at_least):
        return Sentence(
            f"MEASURED {measured} at once, DECLARED {declared} by {topology}", good=False
        )
    return Sentence(f"{runs}; {topology} declares {declared}", good=True)


def capacity_details(capacity: Mapping[str, Any]) -> str:
    """How the capacity was found, and its share per backend."""
    shares = capacity["per_backend"]
    parts = [capacity["how"]]
    if shares and len(shares) > 1:
        parts.append(f"per backend {' + '.join(str(share) for share in shares)}")
    if capacity["at_least"]:
        parts.append(f"not tried beyond {capacity['limit']}")
    return "; ".join(parts)


def check_sentence(check: Mapping[str, Any]) -> Sentence:
    """A criterion, what was measured, and why it fails when it does."""
    measured, reason = check["measured"], check["reason"]
    value = NOT_MEASURED if measured is None else f"measured {measured}"
    if measured is None and NOT_MEASURED in reason:
        value, reason = reason, ""
    state = "holds" if check["passed"] else "FAILED"
    why = f" ({reason})" if reason else ""
    # One that nearly fails is no good news.
    good = None if check.get("close") else check["passed"]
    return Sentence(f"{state} {check['criterion']}: {value}{why}", good=good)


def requirement_sentence(requirement: Mapping[str, Any]) -> Sentence:
    """What became of a criterion that the whole run requires."""
    criterion, evaluated, failed = (
        requirement[key] for key in ("criterion", "evaluated", "failed")
    )
    if evaluated == 0:
        return Sentence(f"required {criterion}: NEVER MEASURED", good=False)
    if failed:
        return Sentence(
            f"required {criterion}: FAILED in {failed} of {plural(evaluated, 'measurement')}",
            good=False,
        )
    return Sentence(f"required {criterion}: held in {plural(evaluated, 'measurement')}", good=True)


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
        parts.append(plural(plan.count, "request"))
    if plan.duration is not None:
        parts.append(f"{plan.duration:g} s")
    parts.append("keep-alive" if plan.keepalive else "one connection per request")
    first, *more = plan.requests
    parts.append(f"{first.method} {first.path}" + (f" and {len(more)} more" if more else ""))
    return f"load by {result.engine}: {', '.join(parts)}"


def load_warnings(result: Result) -> list[Sentence]:
    """What makes the numbers of this load something else than the server's; read it first."""
    found = []
    generator = result.generator
    if generator.limited_by != "none":
        found.append(
            f"LIMITED BY THE LOAD GENERATOR ({generator.limited_by}): "
            "these numbers are its limit, not the server's"
        )
    if generator.lost:
        found.append(
            f"INCOMPLETE: {generator.lost} of {plural(generator.workers, 'load worker')} "
            f"were lost, with them the outcome of {plural(result.unfinished, 'request')} or more"
        )
    if result.dropped:
        found.append(
            f"{plural(result.dropped, 'request')} never sent: "
            f"{result.plan.users} were in flight already"
        )
    if result.sent == 0:
        found.append("nothing was sent: every number of this load is not measured")
    sentences = [Sentence(text, good=False) for text in found]
    if result.overflow:
        # What its machine counted alone may be somebody else's.
        sentences.append(Sentence(result.overflow, good=False if generator.syn_retried else None))
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
    said = f"late {NOT_MEASURED}" if late is None else f"{late} late by more than 10 ms"
    return f"offered {per_second(result.offered)}, answered {per_second(result.rate)}; {said}"


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


def histogram_text(histogram: Histogram) -> str:
    """The quantiles of a histogram, see `quantile_text`."""
    if histogram.count == 0:
        return f"p50, p95, p99 and max {NOT_MEASURED}"
    parts = [f"p{q:g} {quantile_text(histogram, q)}" for q in QUANTILES]
    return ", ".join([*parts, f"max {seconds(histogram.max)}"])


def quantile_text(histogram: Histogram, q: float) -> str:
    """The quantile, or `n small` when fewer than ten samples lie beyond it: no number then."""
    if histogram.count and not histogram.enough_for(q):
        return N_SMALL
    return seconds(histogram.percentile(q))


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


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text; the first column is a name, the others are numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def usage_table(result: Result) -> Table | None:
    """What the site's parts used during a load, and the site as a whole; None: not measured."""
    site = result.site
    if site is None:
        return None
    rows = [
        (
            part.name + (" (ended)" if part.ended else ""),
            str(part.processes),
            format_memory(part.memory),
            format_cpu(part.cpu),
        )
        for part in site.parts
    ]
    whole = ("site", str(site.processes), format_memory(site.memory), format_cpu(site.cpu))
    return Table(
        "Memory and CPU of the site",
        ("Part", "Processes", f"Memory ({site.memory_kind.upper()})", "CPU"),
        tuple([*rows, whole] if len(rows) > 1 else rows),
    )


_SOURCES = {"connect": "connect", "page": "total", "request": "total", "session": "sessions"}


def article_tables(load: Load) -> list[Table]:
    """The tables in the article's form; no codes and no errors make no table."""
    return _tables(load.tables, load.result.unmeasured)


def tsung_tables_of(load: Load) -> list[Table]:
    """The same by tsung's own definitions; none for a load of which its report would be empty."""
    return _tables(load.tables["as_tsung"], load.result.unmeasured, ", by tsung's definitions")


def _tables(
    tables: Mapping[str, Any], unmeasured: frozenset[str], variant: str = ""
) -> list[Table]:
    rows, codes, errors = (tables[name] for name in ("rows", "codes", "errors"))
    main = Table(
        f"Main statistics{variant}",
        (
            "Name",
            "highest 10sec mean",
            "lowest 10sec mean",
            "Highest Rate",
            "Mean Rate",
            "Mean",
            "Count",
        ),
        tuple(
            (
                name,
                format_duration(row["highest_10sec_mean"]),
                format_duration(row["lowest_10sec_mean"]),
                format_rate(row["highest_rate"]),
                format_rate(row["mean_rate"]),
                format_duration(row["mean"]),
                # What an engine cannot measure has a count of 0 here, which says something else.
                "-" if _SOURCES[name] in unmeasured else str(row["count"]),
            )
            for name, row in rows.items()
        ),
    )
    by_code = Table(
        f"HTTP statuses{variant}",
        ("Code", "Highest Rate", "Mean Rate", "Total number"),
        tuple(
            (name, format_rate(c["highest_rate"]), format_rate(c["mean_rate"]), str(c["total"]))
            for name, c in codes.items()
        ),
    )
    by_error = Table(
        f"Errors{variant}",
        ("Name", "Highest Rate", "Total number"),
        tuple(
            (name, format_rate(e["highest_rate"]), str(e["total"])) for name, e in errors.items()
        ),
    )
    return [table for table in (main, by_code, by_error) if table.rows]


_TIMES_HEADER = ("Mean", *(f"p{q:g}" for q in QUANTILES), "Max")


def detail_tables(result: Result) -> list[Table]:
    """The plan's requests and the outcomes, with their times; none where there is only one."""
    requests = Table(
        "By request",
        ("Request", "Ended", "Errors", *_TIMES_HEADER),
        tuple(
            (name, str(share.ended), str(share.errors), *_times(share.total))
            for name, share in result.by_request.items()
        ),
    )
    outcomes = Table(
        "By outcome",
        ("Outcome", "Count", *_TIMES_HEADER),
        tuple(
            (name, str(times.total.count), *_times(times.total))
            for name, times in result.by_outcome.items()
        ),
    )
    return [table for table in (requests, outcomes) if len(table.rows) > 1]


def _times(histogram: Histogram) -> tuple[str, ...]:
    if not histogram.count:
        return ("-",) * len(_TIMES_HEADER)
    quantiles = (quantile_text(histogram, q) for q in QUANTILES)
    return (seconds(histogram.mean), *quantiles, seconds(histogram.max))


@dataclass(frozen=True, slots=True)
class Share:
    """What one backend answered; `fraction` is of all answers."""

    name: str
    answers: int
    fraction: float | None
    latency: str


def shares(result: Result) -> list[Share]:
    """One share per backend; the last may be what the front answered by itself."""
    whole = sum(share.answers for share in result.by_backend.values())
    return [
        Share(
            "no backend (the front itself)" if index == NO_BACKEND else f"backend {index}",
            share.answers,
            share.answers / whole if whole else None,
            histogram_text(share.total),
        )
        for index, share in sorted(
            result.by_backend.items(),
            key=lambda item: (item[0] == NO_BACKEND, len(item[0]), item[0]),
        )
    ]


# The comparison


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison; None is "not measured"."""

    name: str
    blocked: float | None
    at_once: str | None
    rate: float | None
    p95: str | None
    error_rate: float | None
    unaccounted: int | None
    memory: int | None
    doubtful: bool  # the generator was the limit, or a part of it was lost

    @property
    def blocks(self) -> str | None:
        """`no`, `YES`, or the share of fast requests that had to wait."""
        if self.blocked is None:
            return None
        if self.blocked == 0:
            return "no"
        return "YES" if self.blocked >= 1 else percent(self.blocked)

    def cells(self, missing: str) -> list[str]:
        """The columns of COMPARISON_HEADER; `missing` stands for what was not measured."""
        rate = missing if self.rate is None else f"{self.rate:.1f}{'*' if self.doubtful else ''}"
        return [
            self.name,
            self.blocks or missing,
            self.at_once or missing,
            rate,
            self.p95 or missing,
            missing if self.error_rate is None else percent(self.error_rate),
            missing if self.unaccounted is None else str(self.unaccounted),
            missing if self.memory is None else format_memory(self.memory),
        ]


def comparison(found: Sequence[Block]) -> list[Row]:
    """One row per block; empty when there is nothing to compare.

    Of several probes and capacities the worst counts. The load is the one that sent the most (of
    equals the last): columns of one row from several loads would not belong together.
    """
    if len(found) < 2:
        return []
    hosts, apps = ({getattr(block, name) for block in found} for name in ("host", "app"))
    return [_row(block, with_host=len(hosts) > 1, with_app=len(apps) > 1) for block in found]


def _row(block: Block, *, with_host: bool, with_app: bool) -> Row:
    name = block.topology
    if with_host:
        name += f" on {block.host}"
    if with_app:
        name += f", {block.app}"
    fractions = [
        verdict["blocked_fraction"]
        for verdict in block.verdicts
        if verdict["fast_requests"] or verdict["fast_seconds"]
    ]
    worst = min(
        block.capacities,
        key=lambda capacity: (capacity["value"], capacity["at_least"]),
        default=None,
    )
    at_once = None
    if worst is not None:
        at_once = f">= {worst['value']}" if worst["at_least"] else str(worst["value"])
    blocked = max(fractions, default=None)
    if not block.loads:
        return Row(name, blocked, at_once, None, None, None, None, None, doubtful=False)
    # max() keeps the first of equals; the last one is wanted.
    load = max(reversed(block.loads), key=lambda load: load.result.sent).result
    return Row(
        name=name,
        blocked=blocked,
        at_once=at_once,
        rate=load.rate,
        p95=quantile_text(load.total, 95) if load.total.count else None,
        error_rate=load.error_rate,
        unaccounted=None if load.ledger is None else load.ledger.unaccounted,
        memory=None if load.site is None else load.site.memory,
        doubtful=load.generator.limited_by != "none" or load.generator.lost > 0,
    )


COMPARISON_HEADER = (
    "topology",
    "blocks?",
    "at once",
    "rate /s",
    "p95",
    "error rate",
    "unaccounted",
    "memory",
)
COMPARISON_NOTE = "Of several loads the one that sent the most is shown."
DOUBTFUL_NOTE = "* the load generator was the limit, or a part of it was lost"


def environment_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The environment as (name, value), versions and settings flattened."""
    environment = data["environment"]
    rows = []
    for name, value in environment.items():
        if name == "memory_bytes" and isinstance(value, int):
            rows.append(("memory", f"{value / 2**30:.1f} GiB"))
        elif name == "machines":
            for host, machine in value.items():
                named = environment_rows({"environment": machine})
                rows.extend((f"{host}: {key}", text) for key, text in named)
        elif isinstance(value, Mapping):
            rows.extend((f"{name}: {key}", _value_text(inner)) for key, inner in value.items())
        else:
            rows.append((name.replace("_", " "), _value_text(value)))
    if "created" in data:
        rows.insert(0, ("created", str(data["created"])))
    return rows


def _value_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)
