"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAIT_SECONDS = 20.0


def eventually(
    condition: Callable[[], Any],
    *,
    seconds: float = WAIT_SECONDS,
    otherwise: Callable[[], object] | None = None,
) -> Any:
    """The first true value of `condition`; fails when there is none for so many seconds, with what
    `otherwise` tells."""
    deadline = time.perf_counter() + seconds
    while not (value := condition()):
        if time.perf_counter() > deadline:
            told = f"{condition} never came true" if otherwise is None else str(otherwise())
            raise AssertionError(f"after {seconds:g} s: {told}")
        time.sleep(0.01)
    return value


def end_of(log: Path) -> Callable[[], str]:
    """Tells the end of a log, for what never came true."""
    return lambda: log.read_text("utf-8", "replace")[-2000:]
