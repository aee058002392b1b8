"""The seven experiments of the article, in its order."""

from __future__ import annotations

from dataclasses import dataclass

USERS = 500
"""Users of its smaller loads; the larger ones have twice as many."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A probe of a topology, or a load with `times` x USERS users on it."""

    name: str
    topology: str
    times: int = 0

    @property
    def is_probe(self) -> bool:
        """Whether it asks for a slow page, then for a fast one."""
        return self.times == 0

    def title(self, users: int = USERS) -> str:
        """Such as `nginx4 1000`; `users` is the number of the smaller loads."""
        return self.topology if self.is_probe else f"{self.topology} {self.times * users}"


EXPERIMENTS = (
    Experiment("flask", "flask"),
    Experiment("tornado", "tornado"),
    Experiment("flask-500", "flask", 1),
    Experiment("nginx1-500", "nginx1", 1),
    Experiment("nginx4-500", "nginx4", 1),
    Experiment("nginx4-1000", "nginx4", 2),
    Experiment("nginx4-tornado-1000", "nginx4-tornado", 2),
)
