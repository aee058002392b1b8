"""What was measured is shown and written first, whatever happens when a site is stopped."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.commands import Start, winserve
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.processes import signal_group

pytestmark = [needs("minutes"), pytest.mark.usefixtures("traces")]

IGNORES = "apps.stubborn:thread()"
LEAVES = "apps.children:far()"
SAID = {IGNORES: "ignored the request to stop", LEAVES: "left a process behind"}


def loads(folder: Path) -> list[Any]:
    tests = read_json(folder / "out" / "results.json")["tests"]
    return [result for test in tests for result in test["results"]]


@pytest.mark.parametrize("app", [IGNORES, LEAVES])
@pytest.mark.parametrize("topology", ["waitress", "nginx2-tornado"])
def test_load(tmp_path: Path, topology: str, app: str) -> None:
    done = winserve(
        "load", topology, f"--app={app}", "--fast=/", "--users=1", "--count=9", "--report=out",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert "sent 9, answered 9, errors 0" in done.out
    assert "winserve: report in out" in done.out
    assert f"{topology} did not stop as it should:" in done.err
    assert SAID[app] in done.err
    assert [load["sent"] for load in loads(tmp_path)] == [9]


def test_compare(tmp_path: Path) -> None:
    done = winserve(
        "compare", "flask", "waitress", f"--app={IGNORES}", "--fast=/", "--users=1", "--count=9",
        "--runs=2", "--warmup=0", "--report=out", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert [load["sent"] for load in loads(tmp_path)] == [9] * 4
    # Each site has its say.
    for topology in ("flask", "waitress"):
        assert f"{topology} did not stop as it should:" in done.err


def test_recommend(tmp_path: Path) -> None:
    done = winserve(
        "recommend", "waitress", f"--app={IGNORES}", "--fast=/", "--users=1", "--duration=0.5",
        "--rounds=1", "--require=error_rate == 0%", "--report=out", "--fresh", cwd=tmp_path,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    assert "did not stop as it should" in done.out
    (load,) = loads(tmp_path)
    assert load["sent"] > 0


@not_on_windows("Windows cannot send Ctrl-C to one process")
def test_compare_that_is_interrupted(tmp_path: Path, start: Start) -> None:
    run = start(
        "winserve", "compare", "flask", "tornado", "--users=1", "--duration=0.5", "--runs=60",
        "--warmup=0", "--report=out",
    )  # fmt: skip
    run.wait_for("run 2 of 120, B tornado")
    signal_group(run, signal.SIGINT)
    assert run.process.wait(60) == 1
    assert "winserve: report in out" in run.text()
    assert len(loads(tmp_path)) >= 2


def test_compare_whose_site_dies(tmp_path: Path) -> None:
    """At its first request after those of the first run."""
    (tmp_path / "mortal.py").write_text(
        """
import os
from pytest_winserve.sample_app import app as answers
served = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/served":
        served.append(1)
        if len(served) > 9:
            os._exit(3)
        environ["PATH_INFO"] = "/test"
    return answers(environ, start_response)
"""
    )
    done = winserve(
        "compare", "flask", "waitress", "--app=mortal:app", "--path=/served", "--users=1",
        "--count=9", "--runs=2", "--warmup=0", "--report=out", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert "exited with status 3" in done.err
    assert [load["sent"] for load in loads(tmp_path)] == [9] * 3


def test_what_led_to_the_stop_is_told_as_well(tmp_path: Path) -> None:
    (tmp_path / "stays.py").write_text(
        """
import threading, time
from pytest_winserve.sample_app import app
threading.Thread(target=time.sleep, args=(600,)).start()
"""
    )
    done = winserve(
        "compare", "flask", "waitress", "--app=stays:app", "--path=/misbehave?crash=3",
        "--users=1", "--count=1", "--runs=2", "--warmup=0", "--report=out", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert re.search(r"(?s)exited with status 3.*waitress did not stop", done.err), done.err
