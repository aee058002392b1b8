"""Which of many topologies to choose: what met the criteria, what was fastest, and its equals.

It ranks by the records of tests, each with its `round`. The runs of one round were made one after
another, so that candidates are compared round by round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from pytest_winserve.load.measures.intervals import Interval, paired_difference
from pytest_winserve.load.results.complaints import Complaint, together
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import CheckRecord
from pytest_winserve.report.record import Record
from pytest_winserve.topology import Topology

LEAST_ROUNDS = 4
ALL_ROUNDS = 10
"""From then on only the fastest runs, and those that are in doubt."""
SURE = 0.99
"""The level of the intervals here: they are looked at after every round, and with 95 % one of
the many looks goes wrong too often."""
TOO_WIDE = 10.0
"""An interval whose ends differ by more than this factor says nothing."""
SURE_ROUNDS = 3
"""Rounds in common from which on an interval may put a candidate out."""
LEAST_SHARE = 0.5
"""A candidate with less than this share of the best rate is not tried any further."""
SLACK = 0.5
"""After n rounds a candidate is out when one that is preferred has (1 + SLACK/n) times its rate."""
FITS = 50
SAME_MEMORY = 0.1
"""Memory that is more than the least by no more than this share is the same."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A criterion that did not hold: how often, of how many, and what was measured worst."""

    criterion: str
    failed: int
    of: int
    measured: str | None
    reason: str


@dataclass(slots=True)
class Candidate:
    """A topology, the records of the tests that were made with it, and the result of each round."""

    topology: str
    records: list[Record] = field(default_factory=list)
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def started(self) -> bool:
        """Whether it came up every time, and everything could be measured."""
        return all(record.outcome != "error" for record in self.records)

    @property
    def trouble(self) -> list[str]:
        """What kept it from coming up or from being measured, and what else happened."""
        trouble = [event for record in self.records for event in record.trouble or ()]
        return list(dict.fromkeys(trouble))

    @property
    def logged(self) -> tuple[Complaint, ...]:
        """What it complained of in its logs, over all runs."""
        return together(found for record in self.records for found in record.logged)

    @property
    def development(self) -> bool:
        """Whether its server is made for development."""
        return any(record.development for record in self.records)

    @property
    def checks(self) -> list[CheckRecord]:
        """Every criterion that was evaluated."""
        return [check for record in self.records for check in record.checks]

    @property
    def missed(self) -> list[Missed]:
        """The criteria that did not hold every time."""
        missed = []
        for name in dict.fromkeys(check.criterion for check in self.checks):
            mine = [check for check in self.checks if check.criterion == name]
            failed = [check for check in mine if not check.passed]
            if failed:
                last = failed[-1]
                missed.append(Missed(name, len(failed), len(mine), last.measured, last.reason))
        return missed

    def meets(self, criteria: Sequence[str]) -> bool:
        """Whether each criterion was evaluated and held every time."""
        evaluated = {check.criterion for check in self.checks}
        return self.started and evaluated >= set(criteria) and not self.missed

    @property
    def rates(self) -> dict[int, float]:
        """Answers per second of each round; without a round that has none."""
        return {n: r.rate for n, r in self.results.items() if r.rate}

    @property
    def rate(self) -> float:
        """The geometric mean over the rounds; 0 without any."""
        rates = self.rates.values()
        return math.exp(fmean(map(math.log, rates))) if rates else 0.0

    level: float = 0.0
    """ln of its rate in a round like the others; see `fastest_first`."""

    def share_of(self, other: Candidate) -> float:
        """Its rate over the other's, by the rounds in common where there are any."""
        mine, its = self.rates, other.rates
        common = mine.keys() & its.keys()
        if not common:
            return math.exp(self.level - other.level)
        return math.exp(fmean(math.log(mine[n] / its[n]) for n in common))

    @property
    def limited(self) -> bool:
        """Whether the load generator was the limit of any run: the rate is then a lower bound."""
        return any(result.limited for result in self.results.values())

    @property
    def processes(self) -> int | None:
        """The most that the site had; None: not measured."""
        return max((r.site.processes for r in self.results.values() if r.site), default=None)

    @property
    def memory(self) -> float | None:
        """The median over the rounds of the most that the site had, in bytes."""
        known = [r.site.memory for r in self.results.values() if r.site and r.site.memory]
        return median(known) if known else None

    @property
    def p95(self) -> float | None:
        """The median over the rounds of the 95th percentile, in seconds."""
        known = [t for t in (r.percentile(95) for r in self.results.values()) if t is not None]
        return median(known) if known else None

    def preferred_to(self, other: Candidate) -> bool:
        """Which of two equals is chosen; see `preferred`."""
        return preferred([self, other]) is self

    def against(self, other: Candidate) -> Interval | None:
        """ln(its rate / the other's) over the rounds in common, with 99 %; None for fewer than
        two."""
        mine, its = self.rates, other.rates
        common = sorted(mine.keys() & its.keys())
        return paired_difference(
            [math.log(its[n]) for n in common],
            [math.log(mine[n]) for n in common],
            SURE,
        )

    def in_common(self, other: Candidate) -> int:
        """In how many rounds both ran."""
        return len(self.rates.keys() & other.rates.keys())


def preferred(equals: Sequence[Candidate]) -> Candidate:
    """The one that is chosen of equals, of which there is one at least: made for production, then
    the fewest processes, then the least memory, then the lowest p95, then the first by name."""
    # What was not measured may be anything, and does not win.
    left = [each for each in equals if not each.development] or list(equals)
    fewest = min(each.processes or math.inf for each in left)
    left = [each for each in left if (each.processes or math.inf) == fewest]
    least = min(each.memory or math.inf for each in left)
    left = [each for each in left if (each.memory or math.inf) <= (1 + SAME_MEMORY) * least]
    return min(left, key=lambda each: (each.p95 or math.inf, each.topology))


@dataclass(frozen=True, slots=True)
class Ranking:
    """`met` the criteria, fastest first; `failed` did not, those that missed least first;
    `not_started` could not be measured. `equal` has what is slower than the fastest by no more than
    `margin`, and the winner is one of them. `aside` met the criteria in several processes, where
    one process is preferred and something in one process met them, too."""

    criteria: tuple[str, ...]
    margin: float
    met: tuple[Candidate, ...]
    failed: tuple[Candidate, ...]
    not_started: tuple[Candidate, ...]
    aside: tuple[Candidate, ...] = ()

    @property
    def fastest(self) -> Candidate | None:
        return self.met[0] if self.met else None

    @property
    def equal(self) -> tuple[Candidate, ...]:
        """Those that are as fast as the fastest; of them `preferred` chooses one."""
        if self.fastest is None:
            return ()
        return tuple(each for each in self.met if not self.slower(each))

    @property
    def winner(self) -> Candidate | None:
        """Of the equals the preferred one; one made for development only when all that are made for
        production are surely slower by more than the margin."""
        if not self.equal:
            return None
        chosen = preferred(self.equal)
        perhaps = [each for each in self.met if not each.development and self._may_be_equal(each)]
        return preferred(perhaps) if chosen.development and perhaps else chosen

    def _may_be_equal(self, candidate: Candidate) -> bool:
        """Whether the runs, and not their mean alone, allow that it is within the margin."""
        best = self.fastest
        found = None if best is None else candidate.against(best)
        return (
            best is not None
            and found is not None
            and candidate.share_of(best) >= LEAST_SHARE
            and not (found.high < -math.log1p(self.margin))
        )

    def slower(self, candidate: Candidate) -> bool:
        """Whether it is slower than the fastest by more than the margin, as far as was measured.

        Not: surely slower. The more the runs differ, the less is sure, and what is cheap would win
        because nobody can tell.
        """
        best = self.fastest
        return best is not None and candidate.share_of(best) < 1 / (1 + self.margin)

    def surely(self, candidate: Candidate, other: Candidate) -> bool:
        """Whether the interval leaves no doubt on which side of the other's margin it is."""
        found, bound = candidate.against(other), -math.log1p(self.margin)
        return found is not None and (found.low >= bound or found.high < bound)

    @property
    def doubtful(self) -> list[tuple[Candidate, Candidate]]:
        """Pairs on which the winner depends, and of which it is not sure whether the first is
        within the margin of the second: the winner with the fastest and with what it is
        preferred to, and what is preferred to it with the fastest."""
        winner, best = self.winner, self.fastest
        if winner is None or best is None:
            return []
        found = []
        for each in self.finalists():
            if each is winner:
                continue
            pair = (each, best) if each.preferred_to(winner) else (winner, each)
            if not self.surely(*pair):
                found.append(pair)
        return found

    def next_round(self, number: int) -> list[Candidate]:
        """The candidates of round `number`, which begins with 0; none when it is decided."""
        doubtful = self.doubtful
        if self.fastest is None or (number >= LEAST_ROUNDS and not doubtful):
            return []
        if number < ALL_ROUNDS:
            return self.finalists()
        concerned = [self.fastest, *(each for pair in doubtful for each in pair)]
        return [each for each in self.met if each in concerned]

    def finalists(self) -> list[Candidate]:
        """Those that may still win: not far behind, and not behind one that is preferred."""
        best = self.fastest
        if best is None:
            return []
        near = [
            each
            for each in self.met
            if each is best
            or (
                each.level >= best.level + math.log(LEAST_SHARE)
                and not (
                    each.in_common(best) >= SURE_ROUNDS
                    and self.surely(each, best)
                    and self.slower(each)
                )
            )
        ]
        return [each for each in near if each is best or not any(_beats(one, each) for one in near)]


def _beats(one: Candidate, other: Candidate) -> bool:
    """Whether one that is preferred is so much faster that the other cannot win any more."""
    if one is other or not one.preferred_to(other):
        return False
    rounds = max(min(len(one.rates), len(other.rates)), 1)
    return one.level >= other.level + math.log1p(SLACK / rounds)


def rank(
    records: Sequence[Record],
    criteria: Sequence[str],
    margin: float,
    *,
    one_process: bool = False,
) -> Ranking:
    """The ranking by these records. `criteria` as they stand in results. With `one_process`, what
    has several processes only counts where nothing else met the criteria."""
    candidates: dict[str, Candidate] = {}
    for record in records:
        candidate = candidates.setdefault(record.topology, Candidate(record.topology))
        candidate.records.append(record)
        for load in record.results:
            candidate.results[record.round or 0] = load.result
    met = [each for each in candidates.values() if each.meets(criteria)]
    measured = [each for each in candidates.values() if each.started and each not in met]
    aside: list[Candidate] = []
    if one_process:
        several = [each for each in met if Topology.parse(each.topology).processes > 1]
        aside = several if len(several) < len(met) else []
    return Ranking(
        tuple(criteria),
        margin,
        fastest_first([each for each in met if each not in aside]),
        tuple(sorted(measured, key=lambda each: (len(each.missed), -each.rate))),
        tuple(each for each in candidates.values() if not each.started),
        fastest_first(aside),
    )


def fastest_first(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidates by their `level`, which is set here: a rate that can be held against another
    although not all ran in the same rounds, and the machine was not equally free in each. ln(rate)
    = level + what was the same in that round, by turns fitted until both agree."""
    logs = [(each, {n: math.log(rate) for n, rate in each.rates.items()}) for each in candidates]
    rounds = {n: 0.0 for _, own in logs for n in own}
    for _ in range(FITS):
        for each, own in logs:
            each.level = fmean(log - rounds[n] for n, log in own.items()) if own else -math.inf
        for number in rounds:
            rounds[number] = fmean(own[number] - each.level for each, own in logs if number in own)
    return tuple(sorted(candidates, key=lambda each: -each.level))
