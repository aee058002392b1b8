"""What a comparison consists of: its rules, what each side measured, its groups and rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_winserve.errors import UsageError
from pytest_winserve.load.measures.intervals import Interval
from pytest_winserve.load.results.result import Result

MeasureVerdict = Literal["better", "same", "worse", "inconclusive"]
MeasureKind = Literal["rate", "time", "share", "blocked", "count"]


@dataclass(frozen=True, slots=True)
class ComparisonRules:
    """What counts as the same: a ratio from 1 / (1 + margin) to 1 + margin, and a difference of
    error rates of at most `error_margin` (a share). `allow_limited` takes in runs whose load
    generator was the limit. UsageError for margins that cannot be."""

    margin: float = 0.05
    error_margin: float = 0.001
    allow_limited: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.margin <= 1:
            raise UsageError(f"margin={self.margin:g}: more than 0% and at most 100% is needed")
        if not 0 < self.error_margin < 1:
            raise UsageError(
                f"error margin={self.error_margin:g}: more than 0% and less than 100% is needed"
            )


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """One measure: the values of both sides (None: not measured), what became of it, and why.

    `kind` "rate" is per second, "time" seconds, "share" and "blocked" a share of 1, "count" a
    number. `change` is B/A with its interval for rates and times, B - A for a share; None where
    there is no interval. `bound_a`, `bound_b`: the value is a lower bound.
    """

    measure: str
    kind: MeasureKind
    a: float | None
    b: float | None
    verdict: MeasureVerdict
    change: Interval | None = None
    note: str = ""
    bound_a: bool = False
    bound_b: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """What both sides measured alike: the test, how (a plan, a probe), and how often."""

    name: str
    what: str
    runs_a: int
    runs_b: int
    rows: tuple[MeasureRow, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The groups, and `notes` on what differs between the sides or is on one side only."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    one_sided: int

    def having(self, verdict: MeasureVerdict) -> list[tuple[Group, MeasureRow]]:
        """The rows with this verdict."""
        return [(group, row) for group in self.groups for row in group.rows
                if row.verdict == verdict]  # fmt: skip

    def failed(self, *, strict: bool) -> bool:
        """Whether something is worse; when `strict` also whether something is undecided or on one
        side only."""
        undecided = bool(self.having("inconclusive")) or self.one_sided > 0
        return bool(self.having("worse")) or (strict and undecided)


@dataclass(slots=True)
class SideMeasurements:
    """What one side measured in one test on one site: loads by their plan and engine, probes by
    what they asked."""

    loads: dict[str, list[ComparedLoad]] = field(default_factory=dict)
    blocked: dict[str, list[Interval]] = field(default_factory=dict)
    capacities: list[Interval] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.loads or self.blocked or self.capacities)


@dataclass(frozen=True, slots=True)
class ComparedLoad:
    """One load, and the pair that it was run in; None where loads were not run in pairs."""

    result: Result
    pair: int | None


@dataclass(frozen=True, slots=True)
class ComparedTest:
    """What both sides must have alike for a test to be compared."""

    test: str
    topology: str
    host: str
    app: str

    def __str__(self) -> str:
        return f"{self.test}: {self.topology} on {self.host}, {self.app}"


Side = Literal["A", "B"]
