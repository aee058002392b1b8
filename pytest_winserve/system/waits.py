"""What takes long is told: nobody has to guess whether something still goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 8.0
"""Seconds of silence: nobody waits for more than ten without a word."""

TICK = 1.0


@contextmanager
def told(tell: Callable[[str], None], what: str) -> Iterator[Callable[[], None]]:
    """Tell what goes on when it takes long, then again and again with the seconds up to now, and an
    empty text at the end. Calling what it gives is the end as well."""
    ended = threading.Event()
    begun = time.perf_counter()

    def go_on() -> None:
        if ended.wait(PATIENCE):
            return
        while True:
            tell(f"{what}, {time.perf_counter() - begun:.0f} s up to now")
            if ended.wait(TICK):
                tell("")
                return

    thread = threading.Thread(target=go_on, name="winserve-told", daemon=True)

    def end() -> None:
        if not ended.is_set():
            ended.set()
            # What is told is not told while something else is.
            thread.join()

    thread.start()
    try:
        yield end
    finally:
        end()
