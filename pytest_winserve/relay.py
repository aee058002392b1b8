"""Runs a command between the lab and a Python on another machine, and ends with either of them.

Run as `python -m pytest_winserve.relay FOLDER LOG COMMAND...`; the command runs in FOLDER. Bytes
of standard input and output pass through, standard error is appended to LOG. The relay has a
session of its own: a Ctrl-C in the lab's terminal is the lab's to handle. When the lab is gone,
the command, whose input ends then, has a moment to end before it is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 1.0
LOOK_EVERY = 0.1


def pump(source: int, sink: int) -> None:
    """Copy until there is no more. What is read at a time is passed on at once."""
    try:
        while data := os.read(source, 65536):
            while data:
                data = data[os.write(sink, data) :]
    except OSError:
        return  # the reader is gone, and so is what it wanted


def main(folder: str, log: str, *command: str) -> int:
    lab = os.getppid()
    os.setsid()
    with Path(log).open("ab") as errors:
        # Pipes, also for standard error: a Windows Python under Wine does not start with a file.
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
        )
        assert child.stdout is not None
        assert child.stderr is not None
        pumps = [
            threading.Thread(target=pump, args=args, daemon=True)
            for args in ((child.stdout.fileno(), 1), (child.stderr.fileno(), errors.fileno()))
        ]
        for each in pumps:
            each.start()
        alone = 0.0
        while child.poll() is None:
            time.sleep(LOOK_EVERY)
            if os.getppid() != lab:
                alone = alone or time.perf_counter()
                if time.perf_counter() - alone > GRACE_SECONDS:
                    child.kill()
        for each in pumps:
            # Not to its end: what the command left behind may hold its pipes.
            each.join(LOOK_EVERY)
    return child.returncode


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    os._exit(status & 0xFF)  # a pump may still wait for what never comes
