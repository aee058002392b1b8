"""How often two searches of `winserve recommend` give the same answer, simulated.

    python benchmarks/recommend.py [--searches N] [--scatter S]

S is the standard deviation of ln(rate) of a run within a round; 0.12 is what 24 rounds of three
sites showed on a shared machine with 2 cores. The true rates are known here, so that it can also be
told how often the answer is the right one: the cheapest of those within 10 % of the fastest.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from dataclasses import dataclass, field

from common import say

from pytest_winserve.recommend.ranking import Candidate, Ranking, fastest_first
from pytest_winserve.recommend.search import MARGIN, MOST_ROUNDS

CASES = {
    "equal": (1.0, 1.0),
    "5 % less": (1.0, 0.95),
    "on the margin": (1.0, 1 / (1 + MARGIN)),
    "15 % less": (1.0, 0.85),
    "20 % less": (1.0, 0.8),
    "three": (1.0, 0.98, 0.8),
}
"""Rates of candidates A, B, C, each cheaper than the one before it."""


@dataclass(slots=True)
class Simulated(Candidate):
    """A candidate whose true rate is known."""

    true: float = 1.0
    cost: int = 1
    made: dict[int, float] = field(default_factory=dict)

    @property
    def rates(self) -> dict[int, float]:
        return self.made

    @property
    def processes(self) -> int:
        return self.cost


def search(true: tuple[float, ...], scatter: float, noise: random.Random) -> tuple[str, int]:
    """Who is recommended, and after how many runs."""
    dearest = len(true)
    everybody = [Simulated("ABC"[i], true=rate, cost=dearest - i) for i, rate in enumerate(true)]
    tried: list[Candidate] = [*everybody]
    ranking = Ranking((), MARGIN, (), (), ())
    for number in range(MOST_ROUNDS):
        for each in everybody:
            if each in tried:
                each.made[number] = each.true * math.exp(noise.gauss(0, scatter))
        ranking = Ranking((), MARGIN, fastest_first(everybody), (), ())
        tried = ranking.next_round(number + 1)
        if not tried:
            break
    winner = ranking.winner
    assert winner is not None
    return winner.topology, sum(len(each.made) for each in everybody)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--scatter", type=float, default=0.12)
    given = parser.parse_args()
    say("| true rates | right | the same twice | runs of a search | answers |")
    say("|---|---:|---:|---:|---|")
    for name, true in CASES.items():
        noise = random.Random(1)
        found = [search(true, given.scatter, noise) for _ in range(given.searches)]
        answers = Counter(winner for winner, _ in found)
        right = max("ABC"[i] for i, rate in enumerate(true) if rate * (1 + MARGIN) >= max(true))
        same = sum((n / given.searches) ** 2 for n in answers.values())
        runs = sum(n for _, n in found) / given.searches
        told = ", ".join(f"{n} x {winner}" for winner, n in answers.most_common())
        say(
            f"| {name}: {', '.join(f'{rate:.3g}' for rate in true)} "
            f"| {answers[right] / given.searches:.0%} | {same:.0%} | {runs:.0f} | {told} |"
        )


if __name__ == "__main__":
    main()
