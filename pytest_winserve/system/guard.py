"""A process that outlives a killed lab just long enough to end what the lab had started.

Run as `python -m pytest_winserve.system.guard TAG [FOLDER]`. Its standard input is a pipe from the
lab: a line `+PID` for each process started. When the pipe closes without the line `done`, the lab
is gone: its processes are ended, and the folder of their files is removed.
"""

from __future__ import annotations

import sys

GRACE_SECONDS = 0.3


def main(tag: str, *folders: str) -> int:
    leaders: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            leaders.add(int(line[1:]))
        elif line.strip() == "done":
            return 0
    import shutil
    import time

    from pytest_winserve.system.process_tree import kill, members

    deadline = time.perf_counter() + GRACE_SECONDS
    # Backends end by themselves when their own pipe closes; what is left then is killed. One look
    # more, because a process may start another while it is being looked for.
    while members(tag, leaders) and time.perf_counter() < deadline:
        time.sleep(0.05)
    for _ in range(3):
        found = members(tag, leaders)
        if not found:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            return 0
        kill(found, seconds=0.5)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
