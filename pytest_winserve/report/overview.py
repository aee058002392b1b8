"""The comparison of all tests of a run, a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_winserve.load.measures.units import format_memory
from pytest_winserve.report.blocks import SiteBlock
from pytest_winserve.report.measurements import worst
from pytest_winserve.report.numbers import percent, quantile_text


@dataclass(frozen=True, slots=True)
class OverviewRow:
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
    development: bool = False  # the server is made for development

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


def comparison(blocks: Sequence[SiteBlock]) -> list[OverviewRow]:
    """One row per block; empty when there is nothing to compare.

    Of several probes and capacities the worst counts. The load is the one that sent the most (of
    equals the last): columns of one row from several loads would not belong together.
    """
    if len(blocks) < 2:
        return []
    hosts, apps = ({getattr(block, name) for block in blocks} for name in ("host", "app"))
    return [_row(block, with_host=len(hosts) > 1, with_app=len(apps) > 1) for block in blocks]


def _row(block: SiteBlock, *, with_host: bool, with_app: bool) -> OverviewRow:
    name = f"{block.topology}{DEVELOPMENT_MARK * block.development}"
    if with_host:
        name += f" on {block.host}"
    if with_app:
        name += f", {block.app}"
    fractions = [verdict.blocked_fraction for verdict in block.verdicts if verdict.fast_count]
    blocked = max(fractions, default=None)
    capacity = worst(block.capacities)
    at_once = None if capacity is None else capacity.shown
    if not block.loads:
        return OverviewRow(
            name, blocked, at_once, None, None, None, None, None,
            doubtful=False, development=block.development,
        )  # fmt: skip
    # max() keeps the first of equals; the last one is wanted.
    load = max(reversed(block.loads), key=lambda load: load.result.sent).result
    return OverviewRow(
        name=name,
        blocked=blocked,
        at_once=at_once,
        rate=load.rate,
        p95=quantile_text(load.total, 95) if load.total.count else None,
        error_rate=load.error_rate,
        unaccounted=None if load.ledger is None else load.ledger.unaccounted,
        memory=None if load.site is None else load.site.memory,
        doubtful=load.generator.limited_by != "none" or load.generator.lost > 0,
        development=block.development,
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
DEVELOPMENT_MARK = " (dev)"
DEVELOPMENT_NOTE = (
    f"{DEVELOPMENT_MARK.strip()} the server is made for development, not to deploy with"
)


def notes(rows: Sequence[OverviewRow]) -> list[str]:
    """What stands below the comparison, for what is marked in it."""
    marked = (
        (any(row.doubtful for row in rows), DOUBTFUL_NOTE),
        (any(row.development for row in rows), DEVELOPMENT_NOTE),
    )
    return [COMPARISON_NOTE, *(f"{note}." for there, note in marked if there)]
