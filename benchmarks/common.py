"""What the benchmarks share: interleaved pairs, ratios, and a line about the machine."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_winserve.deployment.this_machine import cpu_model


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds of two things measured in turn, A B B A, in one run."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """a / b, pair by pair."""
        return [a / b for a, b in zip(self.a, self.b, strict=True)]

    @property
    def differences(self) -> list[float]:
        """a - b in seconds, pair by pair."""
        return [a - b for a, b in zip(self.a, self.b, strict=True)]


def interleave(a: Callable[[], float], b: Callable[[], float], pairs: int) -> Pairs:
    """Measure `a` and `b` in turn after one uncounted round; both return seconds."""
    a()
    b()
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        order = ((0, a), (1, b)) if number % 2 == 0 else ((1, b), (0, a))
        for place, measure in order:
            found[place].append(measure())
    return Pairs(tuple(found[0]), tuple(found[1]))


def row(name: str, values: Sequence[float], unit: str, factor: float = 1.0) -> str:
    """`name  median  (min to max) unit`"""
    scaled = [value * factor for value in values]
    return (
        f"{name:44} {statistics.median(scaled):8.3f} "
        f"({min(scaled):.3f} to {max(scaled):.3f}) {unit}"
    )


def machine() -> str:
    """Where this was measured."""
    return (
        f"{cpu_model()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
