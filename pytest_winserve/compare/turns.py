"""The order in which `winserve compare` loads two topologies."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_winserve.compare.comparison import Side


@dataclass(frozen=True, slots=True)
class Turn:
    """One run: the pair that it belongs to, from 1, and its side."""

    pair: int
    side: Side


def turns(pairs: int) -> list[Turn]:
    """A B, B A, A B, ...: what drifts evenly (heat, memory) then weighs on both sides alike."""
    return [
        Turn(pair, side)
        for pair in range(1, pairs + 1)
        for side in (("A", "B") if pair % 2 else ("B", "A"))
    ]
