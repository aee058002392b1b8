"""`winserve recommend` with real servers: its choice, its reasons, what interrupts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.hosts import open_host
from pytest_winserve.lab.available import Surveys
from pytest_winserve.recommend.search import SearchRules, candidates, chosen
from pytest_winserve.report.store import read_json
from tests.kit.commands import Done, clean_environment, command_line, winserve
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.waiting import eventually

pytestmark = needs("minutes")

SHORT = ("--users=5", "--duration=0.3", "--slow=/sleep?seconds=0.4")
APP = """
import time
from flask import Flask

app = Flask(__name__)

@app.get("/fast")
def fast():
    return "fast"

@app.get("/slow")
def slow():
    time.sleep(0.4)
    return "slow"
"""
TIRED = """
import itertools
number = itertools.count()

def app(environ, start_response):
    start_response("404 Not Found" if next(number) > 5 else "200 OK", [("Content-Length", "0")])
    return []
"""
OWN_APP = ("--app=shop:app", "--fast=/fast", "--slow=/slow", "--users=5", "--duration=0.3")
Recommend = Callable[..., Done]


@pytest.fixture
def recommend(tmp_path: Path, own_locks: Path) -> Recommend:
    """Runs the command in a folder and with a cache of this test's own."""

    def run(*arguments: str) -> Done:
        return winserve("recommend", *arguments, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path))

    return run


def tried(output: str) -> list[str]:
    """The trials that a run made, in order."""
    return re.findall(r"^(?:round \d+, )?\d+ of \d+ (\S+): ", output, re.MULTILINE)


def file_of_trials(folder: Path) -> Path:
    (place,) = folder.glob("pytest-winserve/recommend/*.json")
    return place


def trials_kept(folder: Path) -> list[str]:
    """The topologies whose trials are in the file, in order."""
    data = json.loads(file_of_trials(folder).read_text("utf-8"))
    return [test["topology"] for test in data["tests"]]


def test_who_meets_the_criteria_and_why_the_others_do_not(
    recommend: Recommend, tmp_path: Path
) -> None:
    done = recommend("tornado", "waitress", "flask", "--rounds=2", "--report=out", *SHORT)
    assert done.status == 0, done.out + done.err
    assert tried(done.out)[:3] == ["tornado", "waitress", "flask"]
    said = " ".join(done.out.split())
    assert "criteria: non_blocking == true; error_rate < 1%; unaccounted == 0" in said
    assert "tornado: " in said
    assert "non_blocking == true failed: measured false BLOCKS: 2 of 2 fast requests" in said
    # Both are fit; which of them is faster is not asked here.
    assert "RECOMMENDED: tornado" not in said
    data = read_json(tmp_path / "out" / "results.json")
    assert data["recommendation"][0] in done.out
    assert {test["topology"] for test in data["tests"]} == {"tornado", "waitress", "flask"}
    assert data["recommendation"][0] in (tmp_path / "out" / "summary.md").read_text("utf-8")
    assert data["recommendation"][0] in (tmp_path / "out" / "report.html").read_text("utf-8")
    # It came to its end, so the next run begins anew.
    again = recommend("waitress", "--rounds=1", *SHORT)
    assert tried(again.out) == ["waitress"]
    assert "earlier run" not in again.out


def test_nothing_meets_the_criteria(recommend: Recommend) -> None:
    done = recommend("flask", "waitress", "--rounds=1", "--require=rate > 1000000/s",
                     "--require=error_rate < 1%", *SHORT)  # fmt: skip
    assert done.status == 1, done.err
    assert "NOTHING MET THE CRITERIA" in done.out
    assert "rate > 1000000/s failed: measured" in " ".join(done.out.split())
    # What is not required is not measured: there is no probe.
    assert "non_blocking" not in done.out


def test_errors_are_told_with_their_side(recommend: Recommend, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(TIRED, "utf-8")
    done = recommend("flask", "nginx2", "--rounds=1", "--require=error_rate < 1%",
                     "--app=shop:app", "--users=5", "--duration=0.3")  # fmt: skip
    assert done.status == 1, done.err
    assert done.out.count("from the app in the backends") == 2


def test_an_app_that_is_not_there_is_wrong_usage_at_once(recommend: Recommend) -> None:
    done = recommend("flask", "tornado", "waitress", "nginx4", "--app=nothing:app", *SHORT)
    assert done.status == 2, done.out + done.err
    assert done.err.startswith("winserve: the app 'nothing:app': there is no module 'nothing'")
    assert "tornado" not in done.out


def test_an_app_that_fails_for_one_reason_is_given_up(recommend: Recommend, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise ValueError('no database')\n", "utf-8")
    done = recommend("flask", "tornado", "waitress", "nginx4", *OWN_APP)
    assert done.status == 1, done.out + done.err
    assert "3 different servers fail for one reason" in done.err
    assert "nginx4" not in done.out


def test_an_app_that_fails_everywhere(recommend: Recommend, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise ValueError('no database')\n", "utf-8")
    done = recommend("flask", "tornado", *OWN_APP)
    assert done.status == 1, done.out + done.err
    assert "Could not be measured:" in done.out
    assert "no database" in done.out
    assert "NOTHING MET THE CRITERIA" in done.out


def test_a_slow_path_that_is_not_slow_is_told(recommend: Recommend) -> None:
    done = recommend("flask", "--slow=/test", "--users=5", "--duration=0.3")
    assert done.status == 1, done.err
    assert "a path that takes about a second is needed" in " ".join(done.out.split())


def test_without_nginx_it_says_so_and_goes_on(recommend: Recommend) -> None:
    done = recommend("flask", "nginx2", "nginx4", "--nginx=/no/such/nginx", "--rounds=1", *SHORT)
    assert done.status == 0, done.out + done.err
    assert "RECOMMENDED: flask" in done.out
    assert done.out.count("there is no file '/no/such/nginx'") == 1
    assert "nginx (missing)" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("flsk",), "nearest: flask"),
        (("flask", "--margin=0"), "margin=0"),
        (("flask", "--margin=x"), "--margin=x: a share such as 5%"),
        (("flask", "--rounds=0"), "--rounds"),
        (("flask", "--users=x"), "winserve: --users: users=x: a whole number"),
        (("flask", "--require=speed > 1"), "unknown metric 'speed'"),
        pytest.param(
            ("flask", "--host=local,wine"), "one host is needed",
            marks=not_on_windows("it has no second host"),
        ),
    ],
)  # fmt: skip
def test_wrong_usage(recommend: Recommend, arguments: tuple[str, ...], said: str) -> None:
    done = recommend(*arguments)
    assert done.status == 2, done.out + done.err
    assert said in done.err


@pytest.fixture
def running(tmp_path: Path, own_locks: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command and returns when its first trial is in the file."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command_line("winserve", "recommend", *arguments),
            cwd=tmp_path,
            env=clean_environment() | {"XDG_CACHE_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        eventually(lambda: list(tmp_path.glob("pytest-winserve/recommend/*.json")))
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.skipif(
    sys.platform == "win32", reason="platform: a process alone cannot be sent Ctrl-C"
)
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])  # by name: Windows has not both
def test_an_interrupted_run_goes_on(
    recommend: Recommend,
    running: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    name: str,
) -> None:
    number = getattr(signal, name)
    (tmp_path / "shop.py").write_text(APP, "utf-8")
    names = ("flask", "tornado", "waitress")
    process = running(*names, "--rounds=1", *OWN_APP)
    os.kill(process.pid, number)
    output, _ = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 1
        assert "interrupted; this is what was found up to now" in output
        assert "The same command goes on from here." in output
    kept = trials_kept(tmp_path)
    assert kept == list(names)[: len(kept)]
    assert 0 < len(kept) < 3

    # Other users, and other code, are something else.
    other = recommend("flask", "--rounds=1", *OWN_APP[:-2], "--users=6", "--duration=0.3")
    assert "are not used, they are of something else: users was 5, is 6" in other.out
    place = file_of_trials(tmp_path)
    place.write_text(json.dumps(json.loads(place.read_text("utf-8")) | {"finished": False}))
    (tmp_path / "shop.py").write_text(APP + "# changed\n", "utf-8")
    changed = recommend("flask", "--rounds=1", *OWN_APP[:-2], "--users=6", "--duration=0.3")
    assert "code of the app was" in changed.out
    assert tried(changed.out) == ["flask"]


@pytest.mark.skipif(
    sys.platform == "win32", reason="platform: a process alone cannot be sent Ctrl-C"
)
def test_what_was_tried_is_not_tried_again(
    recommend: Recommend, running: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    names = ("flask", "tornado", "waitress")
    process = running(*names, "--rounds=1", *SHORT)
    os.kill(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    kept = trials_kept(tmp_path)
    done = recommend(*names, "--rounds=1", *SHORT)
    assert done.status == 0, done.out + done.err
    first, then = tried(output), tried(done.out)
    assert kept
    assert [*kept, *then] == list(names)
    # A trial is kept, then told; the kill may fall between the two.
    assert first in (kept, kept[:-1])
    assert "goes on with" in done.out
    assert all(name in done.out for name in names)


def test_the_candidates_of_this_machine() -> None:
    names = [str(each) for each in candidates(Surveys().of(open_host("local"), None).able)]
    assert {"flask", "nginx1", "nginx4", "waitress:threads=8", "nginx4-tornado:threads=8"} <= {
        *names
    }
    # A setting that has fewer run at once is not worth a try.
    assert not [name for name in names if "threads=1" in name or "threaded" in name]
    assert len(names) == len(set(names))
    assert "command" not in names


def test_named_candidates_may_be_sets() -> None:
    found = chosen(["article", "flask"], open_host("local"), None, Surveys(), None)
    assert [str(each) for each in found] == [
        "flask", "nginx1", "nginx4", "tornado", "nginx4-tornado",
    ]  # fmt: skip


def test_margins_that_cannot_be() -> None:
    for margin in (0.0, 1.5, -1):
        with pytest.raises(UsageError, match="margin"):
            SearchRules(margin)
