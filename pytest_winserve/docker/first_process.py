"""The first process of the lab's container, with which the container ends: given as a text to the
Python over there, which need not have this package.

What the lab runs in the container comes in from outside (`docker exec`), so it has no parent in
here. When nothing of that kind is left, whatever became of the lab, nobody needs the container.
"""

import os
import signal
import sys
import time
from pathlib import Path

FIRST_SECONDS = 30.0
"""How long the first one may take to come."""
LOOK_EVERY = 0.25


def from_outside() -> bool:
    """Whether there is a living process, besides this one, whose parent is not in here."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                status = (process / "stat").read_text("utf-8", "replace")
                state, parent = status.rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it has ended meanwhile
            if parent == "0" and state not in "XZ":
                return True
    return False


def bury() -> None:
    """Take the status of those that have ended here as orphans."""
    if sys.platform == "win32":
        raise AssertionError("it runs in Linux containers")
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def main() -> None:
    # The first process of a container has no default way to end on a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    deadline = time.monotonic() + FIRST_SECONDS
    seen = False
    while True:
        there = from_outside()
        seen = seen or there
        if not there and (seen or time.monotonic() > deadline):
            return
        bury()
        time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    main()
