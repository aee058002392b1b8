"""The lab's own headers, and the tags by which requests are told apart.

* request `X-Winserve: load-7` or `lab-8`: which load or probe sent it; removed before the app
  sees it. What the lab sends on its own account (`lab-N`) stays out of the totals.
* answer `X-Winserve-Backend: NONCE.INDEX`: proof that this run's backend answered; for the lab's
  own requests also `X-Winserve-Process: PID.THREAD`.
* request `X-Winserve-Hold: 1.5`, of the lab's own only: the seconds for which the request is held
  where the server runs the app, before the app sees it.
"""

from __future__ import annotations

REQUEST_HEADER = "X-Winserve"
HOLD_HEADER = "X-Winserve-Hold"
BACKEND_HEADER = "X-Winserve-Backend"
SHORTEST_HOLD = 0.2
"""Seconds: a slow request that is shorter shows nothing."""
PROCESS_HEADER = "X-Winserve-Process"
TOTALS = "load-0"
STATE_TAG = "lab-0"
"""Has the process that gets it tell what it has for itself; it counts nowhere."""


def load_tag(run: int) -> str:
    """The tag of a load's requests."""
    return f"load-{run}"


def lab_tag(run: int) -> str:
    """The tag of requests that the lab sends on its own account."""
    return f"lab-{run}"


def run_of(tag: str) -> tuple[int, bool]:
    """(run, is it the lab's own) of a tag; untagged requests are run 0 and the user's."""
    kind, _, number = tag.partition("-")
    if kind not in ("load", "lab") or not number.isdecimal():
        return 0, False
    return int(number), kind == "lab"
