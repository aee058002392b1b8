"""The tables of a report: the article's, the details of a load, the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import NO_BACKEND
from pytest_winserve.load.measures.units import (
    format_cpu,
    format_duration,
    format_memory,
    format_rate,
)
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.blocks import ShownLoad
from pytest_winserve.report.numbers import QUANTILES, histogram_text, quantile_text, seconds
from pytest_winserve.report.record import RunRecord


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


def article_tables(load: ShownLoad) -> list[Table]:
    """The tables in the article's form; no codes and no errors make no table."""
    return _tables(load.tables, load.result.unmeasured)


def tsung_tables_of(load: ShownLoad) -> list[Table]:
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
    """The plan's requests and the outcomes, with their times, none where there is only one; and the
    passes of its journeys."""
    steps = bool(result.journeys)
    requests = Table(
        "By step" if steps else "By request",
        ("Step" if steps else "Request", "Ended", "Errors", *_TIMES_HEADER),
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
    journeys = Table(
        "Journeys",
        ("Journey", "Passes", "Complete", "Broken off", "Cut off", "Broken at"),
        tuple(
            (
                one.name,
                str(one.begun),
                str(one.complete),
                str(one.broken_off),
                str(one.cut),
                ", ".join(f"{label} {n}" for label, n in one.broken.items()) or "-",
            )
            for one in result.journeys
        ),
    )
    passes = [journeys] if steps else []
    return [*passes, *(table for table in (requests, outcomes) if len(table.rows) > 1)]


def _times(histogram: Histogram) -> tuple[str, ...]:
    if not histogram.count:
        return ("-",) * len(_TIMES_HEADER)
    quantiles = (quantile_text(histogram, q) for q in QUANTILES)
    return (seconds(histogram.mean), *quantiles, seconds(histogram.max))


@dataclass(frozen=True, slots=True)
class AnswerShare:
    """What one backend answered; `fraction` is of all answers."""

    name: str
    answers: int
    fraction: float | None
    latency: str


def shares(result: Result) -> list[AnswerShare]:
    """One share per backend; the last may be what the front answered by itself."""
    whole = sum(share.answers for share in result.by_backend.values())
    return [
        AnswerShare(
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


def environment_rows(run: RunRecord) -> list[tuple[str, str]]:
    """The environment as (name, value), versions and settings flattened."""
    created = [("created", run.created)] if run.created else []
    return [*created, *_environment_rows(run.environment)]


def _environment_rows(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in environment.items():
        if name == "memory_bytes" and isinstance(value, int):
            rows.append(("memory", f"{value / 2**30:.1f} GiB"))
        elif name == "machines":
            for host, machine in value.items():
                rows.extend((f"{host}: {key}", text) for key, text in _environment_rows(machine))
        elif isinstance(value, Mapping):
            rows.extend((f"{name}: {key}", _value_text(inner)) for key, inner in value.items())
        else:
            rows.append((name.replace("_", " "), _value_text(value)))
    return rows


def _value_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)
