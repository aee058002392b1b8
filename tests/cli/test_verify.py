"""`winserve verify` of sites that others serve, and `--during`, for real."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from pytest_winserve.report.store import read_run
from tests.kit.commands import Start, winserve
from tests.kit.components import needs
from tests.kit.deployed import run_by_hand
from tests.kit.ports import free_row
from tests.kit.waiting import eventually

pytestmark = needs("minutes")

APP = """
import time
from flask import Flask

app = Flask(__name__)
app.add_url_rule("/", "here", lambda: "here")
app.add_url_rule("/report", "report", lambda: time.sleep(1) or "done")
"""
FAILED = re.compile(r"(\d+) of \d+ requests failed")


def test_a_deployed_site_is_held_against_what_was_measured(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("platform: ended by a signal")
    (tmp_path / "shop.py").write_text(APP, "utf-8")
    serve = ("--app", "shop:app", "--slow", "/report")
    done = winserve("check", "nginx2-waitress", *serve, "--users", "10", "--duration", "2",
                    "--report", "out", cwd=tmp_path)  # fmt: skip
    assert done.status == 0, done.out
    port, site = free_row(3)[0], tmp_path / "site"
    done = winserve("deploy", "nginx2-waitress", "--app", "shop:app", "--to", "site", "--port",
                    str(port), "--address", "127.0.0.1", "--services", "files",
                    cwd=tmp_path)  # fmt: skip
    assert done.status == 0, done.err
    with run_by_hand(site) as process:
        eventually(lambda: "all of it answers" in (site / "output.txt").read_text(), seconds=60)
        # Another run on a busy machine may be slower by much: what is exact is judged.
        done = winserve("verify", f"http://127.0.0.1:{port}/", "--like", "out", "--margin", "100%",
                        "--runs", "2", "--report", "now", cwd=tmp_path)  # fmt: skip
        assert f"http://127.0.0.1:{port}: GET / is answered 200" in done.out, done.err
        assert "held against out: nginx2-waitress on local, 1 load" in done.out
        (record,) = read_run(tmp_path / "now" / "results.json").records
        assert [load.result.error_rate for load in record.results] == [0.0, 0.0]
        assert [one.value for one in record.capacities] == [8]
        assert [one.non_blocking for one in record.verdicts] == [True]
        assert re.search(r"^blocked .* same$", done.out, re.MULTILINE), done.out
        assert re.search(r"^capacity .* same$", done.out, re.MULTILINE), done.out
        done = winserve("verify", f"http://127.0.0.1:{port}/nowhere", cwd=tmp_path)
        assert (done.status, "/nowhere of http://127.0.0.1" in done.err) == (1, True), done.err
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    done = winserve("verify", f"http://127.0.0.1:{port}/", cwd=tmp_path)
    assert (done.status, "does not answer" in done.err) == (1, True), done.err


def test_a_site_of_the_lab_holds_requests_and_a_command_is_told(
    start: Start, tmp_path: Path
) -> None:
    up = start("winserve", "up", "waitress:threads=3", "--app", "pytest_winserve.sample_app:app")
    up.wait_for("http://")
    url = re.search(r"http://[\d.:]+", up.text())
    assert url is not None
    done = winserve(
        "verify", url[0], "--fast", "/test", "--path", "/test", "--users", "2", "--duration", "2",
        "--limit", "8", "--during", f'"{sys.executable}" -c "exit(3)" at 0.5s', cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert "runs 3 requests at once" in done.out
    assert "(exit status 3)" in " ".join(done.out.split())


def test_a_backend_that_is_killed_costs_what_the_load_lost(tmp_path: Path) -> None:
    done = winserve(
        "load", "nginx2-waitress", "--app", "pytest_winserve.sample_app:app", "--users", "10",
        "--duration", "3", "--during", "kill backend-1 at 1s", "--report", "out", cwd=tmp_path,
    )  # fmt: skip
    (record,) = read_run(tmp_path / "out" / "results.json").records
    before, killed = [text for text in record.events if FAILED.search(text)]
    assert before.endswith(" 0 of " + before.split(" of ")[1])
    assert killed.startswith("kill backend-1, at 1.")
    (lost,) = FAILED.findall(killed)
    result = record.results[0].result
    assert int(lost) == result.errors
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0, done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop",), "the URL of a site that runs is needed"),
        (("http://127.0.0.1:1", "--topology", "waitress"), "--like FILE is meant"),
        (("http://127.0.0.1:1", "--like", "none.json"), "none.json: cannot be read"),
        (("http://127.0.0.1:1", "--during", "upgrade"), "--during='upgrade'"),
        (("http://127.0.0.1:1", "--margin", "some"), "--margin=some: a share such as 5%"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = winserve("verify", *arguments, cwd=tmp_path)
    assert (done.status, said in done.err) == (2, True), done.err
