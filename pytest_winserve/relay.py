"""Runs a command between the lab and a Python on another machine, and ends with either of them.

Run as `python -m pytest_winserve.relay FOLDER LOG COMMAND...`; the command runs in FOLDER. Bytes
of standard input and output pass through, standard error is appended to LOG. The relay has a
session of its own: a Ctrl-C in the lab's terminal is the lab's to handle. When the lab closes the
input, or is killed, the command has a moment to end before it is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

GRACE_SECONDS = 2.0
FLUSH_SECONDS = 0.2


def pump(source: int, sink: int) -> None:
    """Copy until there is no more; what is read at a time is passed on at once."""
    try:
        while data := os.read(source, 65536):
            while data:
                data = data[os.write(sink, data) :]
    except OSError:
        return  # the reader is gone, and so is what it wanted


def main(folder: str, log: str, *command: str) -> int:
    os.setsid()
    with Path(log).open("ab") as errors:
        # Pipes, also for standard error: a Windows Python under Wine does not start with a file.
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None

        def feed(sink: int) -> None:
            pump(0, sink)
            os.close(sink)
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()

        pumps = [
            threading.Thread(target=pump, args=(child.stdout.fileno(), 1), daemon=True),
            threading.Thread(
                target=pump, args=(child.stderr.fileno(), errors.fileno()), daemon=True
            ),
        ]
        threading.Thread(target=feed, args=(os.dup(child.stdin.fileno()),), daemon=True).start()
        child.stdin.close()
        for each in pumps:
            each.start()
        status = child.wait()
        for each in pumps:
            # Not to the end: what the command has left behind may hold its pipes.
            each.join(FLUSH_SECONDS)
        if status:
            from pytest_winserve.process import describe_exit

            errors.write(f"its Python {describe_exit(status)}\n".encode())
    return status


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    os._exit(status & 0xFF)  # a pump may still wait for what never comes
