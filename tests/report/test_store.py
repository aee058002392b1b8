"""Writing a report where there is no room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest_winserve
from tests.kit.platforms import not_on_windows

_WRITE_TOO_MUCH = """
import resource, sys
from pytest_winserve.report.store import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_text(sys.argv[1], "x" * 100_000)
except OSError as error:
    print(type(error).__name__, error.filename == sys.argv[1])
"""


@not_on_windows("Windows has no limit on the size of a process's files")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    root = str(Path(pytest_winserve.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_TOO_MUCH, str(path)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "OSError True\n"
    assert path.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
