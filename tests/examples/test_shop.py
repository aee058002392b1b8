"""The example's own test suite, run as its README says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.kit.commands import clean_environment
from tests.kit.components import needs
from tests.kit.pages import SHOP

pytestmark = needs("minutes")


def test_the_suite_of_the_shop_passes_in_two_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2"]
    done = subprocess.run(
        [*command, f"--winserve-report={tmp_path}"],
        cwd=SHOP,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "11 passed" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert Counter(test["outcome"] for test in results["tests"]) == {"passed": 7}
    assert {test["topology"] for test in results["tests"]} == {
        "nginx4", "nginx4-tornado", "tornado", "waitress:threads=8",
    }  # fmt: skip
    assert results["requirements"] == [
        {"criterion": "unaccounted == 0", "evaluated": 2, "failed": 0}
    ]
