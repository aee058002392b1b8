"""Deployed folders that are run by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.commands import clean_environment
from tests.kit.processes import ended


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
