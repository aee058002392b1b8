"""Runs a command between the lab and a Python on another machine, and ends with either of them.

Run as `python -m pytest_winserve.remote.relay FOLDER LOG COMMAND... --`; the command runs in
FOLDER. What follows the last `--` is what execnet adds for a Python on this machine, and is left
out. Bytes of standard input and output pass through, standard error is appended to LOG. The relay
has a session of its own: a Ctrl-C in the lab's terminal is the lab's to handle. When the lab closes
the input, or is killed, the command has a moment to end before it is killed. So is one that does
not say what such a Python says first, or nothing at all, as where somebody is asked for
something.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 2.0
FLUSH_SECONDS = 0.2
GREETING_SECONDS = 60.0
"""Wine's Python has been seen to take 20 s, on a busy machine."""
GREETING = b"1"
"""What a Python that execnet talks to says first (execnet's gateway_bootstrap.py)."""


def pump(source: int, sink: int) -> None:
    """Copy until there is no more; what is read at a time is passed on at once."""
    try:
        while data := os.read(source, 65536):
            while data:
                data = data[os.write(sink, data) :]
    except OSError:
        return  # the reader is gone, and so is what it wanted


def read_line(source: int) -> bytes:
    """The first line, without a byte of what follows: that comes after an answer only."""
    line = b""
    while not line.endswith(b"\n") and (data := os.read(source, 65536)):
        line += data
    return line


def main(folder: str, log: str, *given: str) -> int:
    if sys.platform == "win32":
        raise AssertionError("the relay is for labs on POSIX systems")
    os.setsid()
    command = given[: len(given) - 1 - given[::-1].index("--")]
    with Path(log).open("ab") as file:
        # Pipes, also for standard error: a Windows Python under Wine does not start with a file.
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder)
        except OSError as error:
            file.write(f"cannot start {command[0]}: {error}\n".encode())
            read_line(0)
            return 127
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        words, output, complaints = child.stdin, child.stdout.fileno(), child.stderr.fileno()
        errors = file.fileno()

        # execnet takes it badly when nobody reads what it begins with.
        begun = threading.Event()

        def feed() -> None:
            line = read_line(0)
            begun.set()
            with suppress(BrokenPipeError):
                words.write(line)
                words.flush()
                pump(0, words.fileno())
            with suppress(BrokenPipeError):
                words.close()
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()

        def give_up() -> None:
            os.write(errors, f"it said nothing for {GREETING_SECONDS:g} s\n".encode())
            child.kill()

        patience = threading.Timer(GREETING_SECONDS, give_up)
        patience.daemon = True
        patience.start()

        def listen() -> None:
            first = os.read(output, 1)
            patience.cancel()
            if first in (GREETING, b""):
                with suppress(BrokenPipeError):  # of a lab that was killed meanwhile
                    os.write(1, first)
                    pump(output, 1)
            else:
                os.write(errors, first + os.read(output, 65536))
                child.kill()

        threading.Thread(target=feed, daemon=True).start()
        readers = [
            threading.Thread(target=listen, daemon=True),
            threading.Thread(target=pump, args=(complaints, errors), daemon=True),
        ]
        for each in readers:
            each.start()
        status = child.wait()
        begun.wait()
        for each in readers:
            # Not to the end: what the command has left behind may hold its pipes.
            each.join(FLUSH_SECONDS)
        if status:
            from pytest_winserve.system.program import describe_exit

            file.write(f"its Python {describe_exit(status)}\n".encode())
    return status


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    os._exit(status & 0xFF)  # a thread may still wait for what never comes


def relay(folder: Path, log: Path, command: Sequence[str]) -> list[str]:
    """The command that runs another one in `folder`, and ends it with this process; see
    `pytest_winserve.remote.relay`."""
    words = [sys.executable, "-m", "pytest_winserve.remote.relay", str(folder), str(log)]
    return [*words, *command, "--"]
