"""The figures of a load that the article has, published or measured, in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pytest_winserve.load.measures.outcomes import is_good, is_status
from pytest_winserve.load.results.result import Result


@dataclass(frozen=True, slots=True)
class Figures:
    """One load. Times in seconds, None where there were no answers; `rate` is answers per second.

    `statuses` counts answers. `refused` counts refused connects: tsung tries up to four times for a
    user and then ends him, the other engines count a request for each.
    """

    rate: float | None
    mean: float | None
    highest_mean: float | None
    statuses: Mapping[str, int]
    refused: int

    @property
    def answers(self) -> int:
        """Answers of any status."""
        return sum(self.statuses.values())

    @property
    def good_rate(self) -> float | None:
        """Answers per second that were no errors."""
        if self.rate is None or not self.answers:
            return None
        good = sum(count for status, count in self.statuses.items() if is_good(status))
        return self.rate * good / self.answers

    def share(self, status: str) -> float | None:
        """The share of the answers with this status; None without answers."""
        return self.statuses.get(status, 0) / self.answers if self.answers else None


@dataclass(frozen=True, slots=True)
class Published:
    """What the article printed: whether the slow page blocked the fast one, and its tables."""

    blocked: Mapping[str, bool]
    loads: Mapping[str, Figures]


def published() -> Published:
    """The article's own figures."""
    text = files(__package__).joinpath("published.json").read_text("utf-8")
    data = json.loads(text)
    return Published(
        {name: probe["blocked"] for name, probe in data["probes"].items()},
        {name: _published(load) for name, load in data["loads"].items()},
    )


def measured(result: Result) -> Figures:
    """The same figures of a load that was sent here."""
    row = result.tsung_tables()["rows"]["request"]
    return Figures(
        rate=result.rate,
        mean=row["mean"],
        highest_mean=row["highest_10sec_mean"],
        statuses={name: n for name, n in result.outcomes.items() if is_status(name)},
        refused=result.outcomes.get("refused", 0),
    )


def _published(load: Mapping[str, Any]) -> Figures:
    row = load["rows"]["request"]
    refused = load["errors"].get("error_connect_econnrefused", {"total": 0})
    return Figures(
        rate=row["mean_rate"],
        mean=row["mean"],
        highest_mean=row["highest_10sec_mean"],
        statuses={status: code["total"] for status, code in load["codes"].items()},
        refused=refused["total"],
    )
