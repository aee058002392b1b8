"""`winserve article`: the seven experiments on real servers, made small."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from pytest_winserve.article.experiments import EXPERIMENTS
from tests.kit.commands import Start, run, without_waits
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows

SMALL = ("--users", "4", "--duration", "0.5")


@needs("minutes")
@pytest.mark.usefixtures("traces")
def test_all_of_them_and_their_report(tmp_path: Path) -> None:
    done = run("winserve", "article", *SMALL, "--report", "r", cwd=tmp_path)
    assert (done.status, without_waits(done.err)) == (0, "")
    lines = done.out.splitlines()
    for number, one in enumerate(EXPERIMENTS, 1):
        assert lines[number - 1].startswith(f"experiment {number} of 7, {one.title(4)}: ")
    assert "3. Tornado is asynchronous, yet under it" in done.out
    assert "4 and 8 users instead of 500 and 1000." in done.out
    tests = json.loads((tmp_path / "r" / "results.json").read_text("utf-8"))["tests"]
    assert [test["nodeid"] for test in tests] == [
        f"winserve article: {one.name}" for one in EXPERIMENTS
    ]
    assert [bool(test["verdicts"]) for test in tests] == [one.is_probe for one in EXPERIMENTS]
    plans = [load["plan"] for test in tests for load in test["results"]]
    assert [plan["users"] for plan in plans] == [4, 4, 4, 8, 8]
    assert not any(plan["keepalive"] for plan in plans)
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "article.html", "article.md", "report.html", "results.json", "summary.md",
    }  # fmt: skip


@needs("minutes")
@pytest.mark.usefixtures("traces")
def test_without_nginx_the_others_are_shown(tmp_path: Path) -> None:
    done = run("winserve", "article", *SMALL, "--nginx", str(tmp_path / "none"), cwd=tmp_path)
    assert done.status == 3
    assert "3. Tornado is asynchronous, yet under it a slow page of a Flask app" in done.out
    assert "HELD: BLOCKS" in done.out
    assert done.out.count("could not be measured: ") == 4
    assert "not measured: nginx1-500" in done.out


@not_on_windows("Windows has no signals to end another process in order")
@pytest.mark.usefixtures("traces")
def test_ctrl_c_shows_what_was_measured(tmp_path: Path, start: Start) -> None:
    going = start("winserve", "article", "--users", "4", "--duration", "600", "--report", "r")
    going.wait_for("experiment 2 of 7, tornado: BLOCKS")
    going.process.send_signal(signal.SIGINT)
    assert going.process.wait(60) == 1
    text = going.text()
    assert "winserve: interrupted" in text
    assert "HELD: BLOCKS" in text
    assert "2 experiments of 7 were made." in text
    assert "Traceback" not in text


def test_a_folder_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    done = run("winserve", "article", *SMALL, "--report", "r", cwd=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "it, or a part of it, is a file" in done.err
