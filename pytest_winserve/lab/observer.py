"""Who is shown or told what a site does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytest_winserve.load.measures.outcomes import is_good

if TYPE_CHECKING:
    from pytest_winserve.load.criteria import Check
    from pytest_winserve.load.engine import Progress


class Live(Protocol):
    """Shows a text that replaces the one before; an empty one takes it away."""

    def progress(self, text: str) -> None:
        """What is going on."""

    def waiting(self, text: str) -> None:
        """What is waited for."""


class Nothing:
    """Shows nothing."""

    def progress(self, text: str) -> None:
        return

    def waiting(self, text: str) -> None:
        return


def progress_text(progress: Progress) -> str:
    """`3 s, 8360 sent, 0 failed`"""
    failed = sum(n for outcome, n in progress.outcomes.items() if not is_good(outcome))
    return f"{progress.elapsed:.0f} s, {progress.sent} sent, {failed} failed"


Kind = Literal["verdict", "capacity", "result"]


class Observer(Live, Protocol):
    """Who follows what a site does."""

    def event(self, text: str) -> None:
        """Something that the reader of the results should know."""

    def measured(self, kind: Kind, data: dict[str, Any], checks: Sequence[Check]) -> None:
        """A measurement, as in `results.json`, and the run's criteria on it."""


class Silent(Nothing):
    """An observer that looks away."""

    def event(self, text: str) -> None:
        return

    def measured(self, kind: Kind, data: dict[str, Any], checks: Sequence[Check]) -> None:
        return
