"""Loads of a site on another machine that is lost meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pytest_winserve import Site
from tests.kit.waiting import eventually

USERS, SECONDS, BEFORE = 5, 3.0, 20
LONG = 600.0
"""A load that would not end by itself before the test is given up."""
WAITS = """
import time
def test_waits(winserve):
    open("up", "w").close()
    time.sleep(600)
"""


def strike_in_load(site: Site, strike: Callable[[], object]) -> threading.Thread:
    """Strike as soon as the site has served some requests of the load that follows."""
    served = threading.Event()
    answered = site.deployment.backend_counts

    def wait() -> None:
        before = sum(count.started for count in answered())
        served.set()
        # The load may wait for those of other tests first.
        eventually(
            lambda: sum(count.started for count in answered()) >= before + BEFORE, seconds=600
        )
        strike()

    thread = threading.Thread(target=wait)
    thread.start()
    assert served.wait(60)
    return thread
