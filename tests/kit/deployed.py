"""Deployed folders that are run by hand."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.kit.commands import clean_environment
from tests.kit.processes import ended


def free_port(count: int) -> int:
    """The first of so many ports in a row that nobody has now; each worker looks elsewhere."""
    start = os.getpid() * count % 1000
    for first in (23_000 + (start + step) % 1000 for step in range(0, 1000, count)):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


@contextmanager
def run_by_hand(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Isolated from this package: it must not be needed."""
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "control.py", "run"], cwd=folder, env=clean_environment(),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    with ended(process):
        yield process
