"""What `winserve article` shows: published and measured figures, statements, differences.

Made once; the terminal, Markdown and HTML show the same of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_winserve.article.experiments import EXPERIMENTS, USERS, Experiment
from pytest_winserve.article.figures import Figures, measured, published
from pytest_winserve.article.statements import STATEMENTS, Judgement, Measured, Statement
from pytest_winserve.load.measures.units import format_duration
from pytest_winserve.report.findings import load_counts, load_warnings, verdict_sentence
from pytest_winserve.report.numbers import percent, plural
from pytest_winserve.report.record import Record
from pytest_winserve.report.tables import Table

LOADS_HEADER = ("load", "answers /s", "mean", "highest 10sec mean", "502", "refused")


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, by the names of the experiments: the records, and why others could not be or
    did not end well. `users` is the number of the smaller loads, `duration` that of each in
    seconds."""

    users: int
    duration: float
    records: dict[str, Record] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart: of each experiment two numbers, None where there is none."""

    title: str
    unit: str
    rows: tuple[tuple[str, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is shown. `probes` and `loads` have the published figures beside the measured."""

    system: str
    probes: Table
    loads: Table
    bars: tuple[Bars, ...]
    judged: tuple[tuple[Statement, Judgement], ...]
    differences: tuple[str, ...]

    @classmethod
    def of(cls, made: Made, system: str) -> Outcome:
        """The outcome of what was made. `system` is the one that served, as `platform` names it."""
        records = made.records.items()
        found = Measured(
            {name: one.verdicts[0] for name, one in records if one.verdicts},
            {name: one.results[0].result for name, one in records if one.results},
            refuses(system),
        )
        return cls(
            system,
            _probes(found),
            _loads(found, made.users),
            tuple(_bars(found, made.users)),
            tuple((statement, statement.judge(found)) for statement in STATEMENTS),
            tuple(_differences(found, made, system)),
        )


def refuses(system: str) -> bool:
    """Whether that system refuses a connect when a listen queue is full. Windows does; the sockets
    of Wine are those of the system below it."""
    return system.startswith("Windows") and "Wine" not in system


def _probes(found: Measured) -> Table:
    blocked = published().blocked
    rows = []
    for one in EXPERIMENTS:
        if one.is_probe:
            verdict = found.verdicts.get(one.name)
            here = "not measured" if verdict is None else _word(not verdict.non_blocking)
            rows.append((one.title(), _word(blocked[one.name]), here))
    return Table(
        "Does a slow page hold up a fast one?", ("topology", "published", "measured"), tuple(rows)
    )


def _word(blocked: bool) -> str:
    return "blocks" if blocked else "does not block"


def _loads(found: Measured, users: int) -> Table:
    rows = []
    for one in _loads_of_article():
        rows.append((f"{one.title()}: published", *_cells(published().loads[one.name])))
        result = found.results.get(one.name)
        cells = ("-",) * (len(LOADS_HEADER) - 1) if result is None else _cells(measured(result))
        rows.append((f"{one.title(users)}: measured", *cells))
    return Table("The loads, a connection for each request", LOADS_HEADER, tuple(rows))


def _loads_of_article() -> Iterator[Experiment]:
    return (one for one in EXPERIMENTS if not one.is_probe)


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        "-" if figures.rate is None else f"{figures.rate:.1f}",
        format_duration(figures.mean),
        format_duration(figures.highest_mean),
        percent(figures.share("502")) if figures.answers else "-",
        str(figures.refused),
    )


def _bars(found: Measured, users: int) -> Iterator[Bars]:
    here = {name: measured(result) for name, result in found.results.items()}
    pairs = [
        (one.title(users), published().loads[one.name], here.get(one.name))
        for one in _loads_of_article()
    ]
    yield Bars(
        "Good answers per second",
        "/s",
        tuple((name, a.good_rate, b.good_rate if b else None) for name, a, b in pairs),
    )
    yield Bars(
        "Mean time of an answer",
        "ms",
        tuple(
            (name, a.mean * 1000 if a.mean else None, b.mean * 1000 if b and b.mean else None)
            for name, a, b in pairs
        ),
    )
    yield Bars(
        "Answers that were 502",
        "%",
        tuple((name, _percents(a), _percents(b) if b else None) for name, a, b in pairs),
    )


def _percents(figures: Figures) -> float | None:
    share = figures.share("502")
    return None if share is None else 100 * share


def _differences(found: Measured, made: Made, system: str) -> Iterator[str]:
    """What is not as it was for the article."""
    for name, why in made.failures.items():
        what = "did not end well" if name in made.records else "could not be measured"
        yield f"{name} {what}: {why}"
    yield f"The system that served: {system}. The article's was Windows."
    if not found.refuses:
        yield (
            "Only Windows refuses a connect when a server's listen queue is full, and nginx then "
            "answers 502. Elsewhere the connect is dropped and made again after 1, 2, 3, ... s: "
            "users wait, nobody is refused. A run without refused connects and 502 here does not "
            "say that the article was wrong."
        )
    for result in list(found.results.values())[:1]:
        yield (
            f"What sent the load: {result.engine} with {plural(result.generator.workers, 'worker')}"
            "; the article used tsung."
        )
    yield f"{made.duration:g} s for each load; the article's took about five minutes."
    if made.users != USERS:
        yield f"{made.users} and {2 * made.users} users instead of {USERS} and {2 * USERS}."
    machines = [one.machine for one in made.records.values() if one.machine]
    yield from sorted({str(machine["note"]) for machine in machines if machine.get("note")})
    for name, result in found.results.items():
        for warning in load_warnings(result):
            yield f"{name}: {warning.text}"
    whole = len(found.verdicts) + len(found.results)
    if whole < len(EXPERIMENTS):
        yield f"{plural(whole, 'experiment')} of {len(EXPERIMENTS)} were made."


def shown(record: Record) -> str:
    """What an experiment found, in a sentence."""
    if record.verdicts:
        return verdict_sentence(record.verdicts[0]).text
    return load_counts(record.results[0].result).text
