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
    while True:
        looked = time.perf_counter()
        if value := condition():
            return value
        now = time.perf_counter()
        if now > deadline:
            told = f"{condition} never came true" if otherwise is None else str(otherwise())
            raise AssertionError(f"after {seconds:g} s: {told}")
        # What is waited for needs the processor more than a look that is work does.
        time.sleep(max(0.01, 3 * (now - looked)))


def end_of(log: Path) -> Callable[[], str]:
    """Tells the end of a log, for what never came true."""
    return lambda: log.read_text("utf-8", "replace")[-2000:]
