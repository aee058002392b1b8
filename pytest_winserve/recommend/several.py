"""What a look at several processes of the app says about the candidates.

What is certain to lose users puts those with several processes out. What each process has for
itself, and one process would have once, has one with one process recommended where any meets the
criteria.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_winserve.lab.several_processes import Findings
from pytest_winserve.topology import Topology

SHOWN = 6
"""Topologies that are named at most."""


@dataclass(frozen=True, slots=True)
class Several:
    """`lost` are the topologies that are not proposed, `reasons` why; `apart` speaks for one
    process."""

    lost: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def with_(self, found: Findings | None, topologies: Sequence[Topology]) -> Several:
        """This, and what was found of these topologies."""
        if found is None:
            return self
        names = tuple(map(str, topologies)) if found.lost else ()
        return Several(
            (*self.lost, *names),
            tuple(dict.fromkeys((*self.reasons, *found.lost))),
            tuple(dict.fromkeys((*self.apart, *found.apart))),
        )

    @property
    def not_proposed(self) -> str:
        """The topologies that lose users; of many, the first ones."""
        more = len(self.lost) - SHOWN
        return ", ".join(self.lost[:SHOWN]) + (f" and {more} more" if more > 0 else "")

    def lines(self) -> Iterator[str]:
        """What it is that decides, a line each."""
        if self.reasons:
            yield f"one process: several lose the app's users, so not tried: {self.not_proposed}"
            yield from (f"  {reason}" for reason in self.reasons)
        if self.apart:
            yield "one process is preferred:"
            yield from (f"  {reason}" for reason in self.apart)
