"""Journeys by the command and in suites: tried, loaded, and signed in with."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.accounts import APP, JOURNEY, STEPS, environment
from tests.kit.commands import winserve
from tests.kit.components import needs

ROOT = Path(__file__).parents[2]
LOGIN = JOURNEY.read_text("utf-8").partition('  [[journey.step]]\n  get = "/logout"')[0]


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    variables = [f"--env={name}={value}" for name, value in environment(tmp_path).items()]
    return ["--app", APP, *variables]


def test_check_shows_each_step_and_no_secret(options: list[str]) -> None:
    done = winserve("journey", "check", str(JOURNEY), *options, cwd=ROOT)
    assert done.status == 0, done.out + done.err
    lines = done.out.splitlines()
    assert lines[0] == "journey note"
    assert lines[-1] == "complete"
    assert [line.strip() for line in lines if line.strip() in STEPS] == list(STEPS)
    assert "    > username=(not shown)&password=(not shown)&csrf_token=(not shown)" in lines
    assert "    < 302 to /notes" in lines
    assert any(line.startswith("    took csrf = ") for line in lines)
    assert "for-you" not in done.out
    assert "user0" not in done.out


def test_check_names_the_step_that_breaks(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "accounts.csv").write_text("user,password\nuser0,wrong-one\n")
    file = tmp_path / "broken.toml"
    file.write_text(JOURNEY.read_text("utf-8"))
    done = winserve("journey", "check", str(file), *options, cwd=ROOT)
    assert done.status == 1
    assert done.out.splitlines()[-1] == "broken off at POST /login"
    assert "WRONG: expected status 302" in done.out
    assert "Wrong name or password" in done.out
    assert "wrong-one" not in done.out


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--journey", "none.toml"), "journey: none.toml cannot be read"),
        (("--journey", "{file}", "--path", "/"), "journey with path: its steps say what is sent"),
        (("--journey", "{file}", "--rate", "5"), "rate with journeys: a journey goes on when its"),
        (("--journey", "{file}", "--users", "51"), "accounts.csv has 50 rows for 51 users: take"),
        (("--as", "{file}::buy"), "one journey of .* is needed, as .*::NAME; it has note"),
    ],
)
def test_what_cannot_be_is_told_before_anything_starts(given: tuple[str, ...], told: str) -> None:
    words = [word.format(file=JOURNEY) for word in given]
    done = winserve("load", "flask", *words)
    assert done.status == 2
    assert re.search(told, done.err), done.err


@needs("minutes")
def test_a_load_of_a_url_and_of_a_topology(tmp_path: Path, options: list[str]) -> None:
    load = ("--journey", str(JOURNEY), "--users=3", "--count=6", "--timeout=30")
    report = ("--report", str(tmp_path / "report"), "--require", "outcome(unexpected) == 0")
    done = winserve("load", "nginx2-waitress", *load, *options, *report, cwd=ROOT)
    assert done.status == 0, done.out + done.err
    assert "load by builtin: 3 users, 6 passes, keep-alive, journey note" in done.out
    assert "note    |      6 |        6 |          0 |       0 |         -" in done.out
    text = "".join(
        (tmp_path / "report" / name).read_text("utf-8")
        for name in ("results.json", "report.html", "summary.md")
    )
    assert "for-you" not in text
    (test,) = read_json(tmp_path / "report" / "results.json")["tests"]
    assert test["results"][0]["journeys"] == [
        {"name": "note", "begun": 6, "complete": 6, "broken": {}}
    ]


@needs("minutes")
def test_a_check_of_a_page_behind_a_login(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "accounts.csv").write_text("user,password\nuser0,not-0-for-you\n")
    login = tmp_path / "login.toml"
    login.write_text(LOGIN)
    short = ("--users=5", "--duration=0.5", "--hold=0.3", "--fast=/notes")
    done = winserve("check", "waitress", *options, *short, "--as", str(login), cwd=ROOT)
    assert done.status == 0, done.out + done.err
    assert "REDIRECTS" not in done.out
    (tmp_path / "accounts.csv").write_text("user,password\nuser0,wrong-one\n")
    done = winserve("check", "waitress", *options, *short, "--as", str(login), cwd=ROOT)
    assert done.status == 2
    assert "that signs in broke off at POST /login: status 200, expected status 302" in done.out
    assert "wrong-one" not in done.out


SHORT = ("--journey", str(JOURNEY), "--users=8", "--duration=1", "--timeout=30")


@pytest.mark.parametrize(
    "command",
    [("load", "nginx1"), ("check", "nginx1"), ("recommend",), ("compare", "nginx1", "flask")],
    ids=lambda command: command[0],
)
def test_what_the_engine_cannot_send_is_told_before_anything_starts(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    # What is told of an app that cannot be loaded comes when it is served.
    file = tmp_path / "shop.toml"
    file.write_text(
        '[[journey]]\nname = "order"\n[[journey.step]]\nget = "/"\nfollow = true\n', "utf-8"
    )
    done = winserve(
        *command, "--engine=tsung", f"--journey={file}", "--app=no.such.module", cwd=tmp_path
    )
    assert done.status == 2, done.err
    told = " ".join(done.err.split())
    assert f"{file}: the journey 'order', step 1 (GET /), follow: the engine tsung does" in told
    assert "no.such.module" not in told


@needs("minutes")
def test_what_loses_users_is_not_recommended(tmp_path: Path, options: list[str]) -> None:
    variables = [f"--env={n}={v}" for n, v in environment(tmp_path, key=False).items()]
    served = ("waitress", "nginx2-waitress", "--app", APP, *variables)
    done = winserve("recommend", *served, *SHORT, "--rounds=1", "--fresh", cwd=ROOT)
    assert done.status == 0, done.out + done.err
    assert "several lose the app's users, so not tried: nginx2-waitress" in done.out
    assert "RECOMMENDED: waitress" in done.out
    (tmp_path / "accounts.csv").write_text("user,password\nuser0,wrong-one\n")
    file = tmp_path / "broken.toml"
    file.write_text(JOURNEY.read_text("utf-8").replace('"unique"', '"in turn"'))
    broken = ("--journey", str(file), *SHORT[2:], "--rounds=1", "--fresh")
    done = winserve("recommend", "waitress", *options, *broken, cwd=ROOT)
    assert done.status == 1
    assert "NOTHING MET THE CRITERIA" in done.out
    told = " ".join(done.out.split())
    assert re.search(r"unexpected: POST /login: \d+ answers with status 200, expected st", told), (
        told
    )
    assert "Wrong name or password" in told
    assert "wrong-one" not in done.out + done.err


@needs("minutes")
def test_two_ways_are_compared_by_a_journey(options: list[str]) -> None:
    done = winserve(
        "compare", "waitress", "nginx2-waitress", *options, *SHORT, "--runs=2", cwd=ROOT
    )
    assert "keep-alive, journey note; 2 runs of A, 2 of B" in done.out, done.out + done.err
    assert re.search(r"\nerror rate +\| +0 % \| +0 % ", done.out), done.out
    assert re.search(r"\nunaccounted +\| +0 \| +0 ", done.out), done.out


@needs("minutes")
def test_the_marker_and_the_fixture(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.winserve(topology="flask", app={APP!r}, journey={str(JOURNEY)!r})
        def test_users(winserve):
            result = winserve.load(users=2, count=4, timeout=30)
            assert result.journeys[0].complete == 4
            result.require("outcome(unexpected) == 0")
        """
    )
    variables = [f"--winserve-env={n}={value}" for n, value in environment(tmp_path).items()]
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pytest; "
    run = f"{path}sys.exit(pytest.main(sys.argv[1:]))"
    done = pytester.run(sys.executable, "-c", run, "-q", f"--winserve-chdir={ROOT}", *variables)
    done.assert_outcomes(passed=1)
