"""A disk that is full when something is written: a tiny one, in a mount namespace of the test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_winserve.load.results.result import Result
from tests.kit.commands import command_line
from tests.kit.components import needs

pytestmark = [
    needs("minutes"),
    pytest.mark.usefixtures("traces"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="platform: mount namespaces are Linux's"
    ),
]

# Mounts a disk of a size at a place, runs a command, and copies what is there to another place.
ON_TINY_DISK = """
mount -t tmpfs -o size=$1 tmpfs "$2" || exit 99
disk=$2 copy=$3
shift 3
mkdir "$disk/report"
echo old > "$disk/report/report.html"
"$@"
status=$?
cp -r "$disk/." "$copy"
exit $status
"""


def on_tiny_disk(
    size: str, folder: Path, *command: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with a disk of this size mounted at `folder`/disk; `folder`/copy is what it
    has left there, beside an old report.html in `report`."""
    unshare = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("platform: no mount namespace may be made here")
    disk, copy = folder / "disk", folder / "copy"
    disk.mkdir()
    copy.mkdir()
    done = subprocess.run(
        [*unshare, "sh", "-c", ON_TINY_DISK, "sh", size, str(disk), str(copy), *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=170,
        check=False,
    )
    assert done.returncode != 99, done.stderr
    return done


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def load(report: Path) -> list[str]:
    options = ("--users=2", "--count=20", f"--report={report}")
    return command_line("winserve", "load", "waitress", *options)


def test_there_is_room_for_the_data_but_not_for_the_page(tmp_path: Path) -> None:
    done = on_tiny_disk("12k", tmp_path, *load(tmp_path / "disk" / "report"))
    assert done.returncode == 1, done.stderr
    assert "the report could not be written: " in done.stdout + done.stderr
    assert "No space left on device: " in done.stdout + done.stderr
    report = tmp_path / "copy" / "report"
    assert files(report) == ["report.html", "results.json"]
    # The old page as it was, and the new data as a whole.
    assert (report / "report.html").read_text() == "old\n"
    data = json.loads((report / "results.json").read_text())
    assert data["tests"][0]["results"][0]["outcomes"] == {"200": 20}


def test_there_is_no_room_at_all(tmp_path: Path) -> None:
    done = on_tiny_disk("4k", tmp_path, *load(tmp_path / "disk" / "report"))
    assert done.returncode == 1, done.stderr
    assert "report/results.json" in done.stdout + done.stderr
    assert files(tmp_path / "copy" / "report") == ["report.html"]
    assert (tmp_path / "copy" / "report" / "report.html").read_text() == "old\n"


def test_a_run_of_tests_that_could_not_write_its_results_has_not_passed(tmp_path: Path) -> None:
    test = "def test_load(winserve):\n    winserve.load(users=2, count=20)\n"
    (tmp_path / "test_it.py").write_text(test)
    report = tmp_path / "disk" / "report"
    options = ("-p", "no:cacheprovider", "--winserve-topology=waitress")
    command = command_line("pytest", *options, f"--winserve-report={report}", "test_it.py")
    done = on_tiny_disk("4k", tmp_path, *command, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "the report could not be written: " in done.stdout
    assert files(tmp_path / "copy" / "report") == ["report.html"]


TSUNG = """
import json, os, sys, tempfile
from pytest_winserve import Lab
from pytest_winserve.errors import LoadError

with Lab().serve("waitress") as site:
    tempfile.tempdir = sys.argv[1]
    try:
        result = site.load(users=8, duration=3, engine="tsung")
    except LoadError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps([result.to_dict(), site.backends[0].requests]))
"""


@needs("tsung")
def test_logs_of_tsung_that_were_cut_by_a_full_disk_give_no_wrong_number(tmp_path: Path) -> None:
    done = on_tiny_disk("40k", tmp_path, sys.executable, "-c", TSUNG, str(tmp_path / "disk"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    if isinstance(said, str):
        # tsung.log itself was cut: then nothing is known.
        assert said.startswith("tsung ")
        return
    result = Result.from_dict(said[0])
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0
    assert result.sent > 500
    # The log of every time was cut, and the times are not those of all answers.
    assert "total" in result.unmeasured
    assert result.total.count == 0
