"""Somebody's own app, as it is: what the first commands say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.commands import FLASK_COMMAND, winserve
from tests.kit.components import needs

pytestmark = needs("minutes")

HOME = """
from flask import Flask
{name} = Flask(__name__)

@{name}.get("/")
def home():
    return "hello"
"""
API = """
import time
from flask import Flask
app = Flask(__name__)

@app.get("/api/items")
def items():
    return []

@app.get("/api/items/<int:n>")
def item(n):
    return {}

@app.post("/api/items")
def add():
    return {}

@app.get("/report")
def report():
    time.sleep(0.3)
    return "slow"
"""
ONLY_WHEN_RUN = """
from flask import Flask
app, known = Flask(__name__), dict()

def home():
    return known["greeting"]

{page}

if __name__ == "__main__":
    {missing}
    app.run()
"""
SHORT = ("--users=5", "--duration=0.5")


@pytest.mark.parametrize(
    ("file", "name", "options"),
    [
        ("app.py", "app", ()),
        ("wsgi.py", "application", ()),
        ("myapp.py", "app", ("--app", "myapp:app")),
    ],
)
def test_an_app_with_one_route_needs_no_option(
    tmp_path: Path, file: str, name: str, options: tuple[str, ...]
) -> None:
    (tmp_path / file).write_text(HOME.format(name=name))
    done = winserve("check", "waitress", "tornado", *SHORT, *options, cwd=tmp_path)
    assert done.status == 0, done.out + done.err
    assert "8 passed" in done.out
    assert ("found in this folder" in done.out) is (not options)
    assert "all 2 fast requests were answered during / (held 1 s)" in done.out
    assert "runs 4 requests at once; waitress declares 4" in done.out
    assert "BLOCKS: 2 of 2 fast requests (100 %) had to wait for / (held 1 s)" in done.out


@pytest.mark.parametrize(
    ("page", "missing", "said"),
    [
        ("app.get('/')(home)", "known.update(greeting='hello')", "answered 500 INTERNAL"),
        ("", "app.get('/')(home)", "GET / is answered 404 by app.py:app: "),
    ],
    ids=["data", "pages"],
)
def test_what_the_file_does_only_when_it_is_run_is_told(
    page: str, missing: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(ONLY_WHEN_RUN.format(page=page, missing=missing))
    done = winserve("check", "waitress", *SHORT, cwd=tmp_path)
    told = " ".join((done.out + done.err).split())
    assert said in told
    assert 'lines 10 to 12 of app.py stand under `if __name__ == "__main__"` and were not' in told


def test_an_app_without_a_first_page_is_told_once_with_its_routes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(API)
    told = (
        "GET / is answered 404 by app.py:app: name another path by --fast; its GET routes are "
        "/api/items, /report"
    )
    done = winserve("check", "waitress", "flask", *SHORT, cwd=tmp_path)
    assert done.status == 2, done.out + done.err
    assert done.out.count(told) == 1
    assert "1 error" in done.out
    assert "Traceback" not in done.out + done.err
    for command in (["recommend", "waitress", "flask"], ["load", "waitress"], ["compare", "flask",
                     "waitress"]):  # fmt: skip
        done = winserve(*command, *SHORT, cwd=tmp_path)
        assert (done.status, done.err) == (2, f"winserve: {told}\n"), done.out
    assert winserve("load", "waitress", "--path=/api/items", *SHORT, cwd=tmp_path).status == 0


def test_the_command_asks_for_a_slow_path_before_anything_starts(tmp_path: Path) -> None:
    line = "winserve_never_started --port={port}"
    for command in ("check", "recommend"):
        done = winserve(command, "waitress", "command", "--command", line, cwd=tmp_path)
        assert done.status == 2, done.out + done.err
        assert (done.out + done.err).count("--slow /report") == 1
        assert "did not start" not in done.out


def test_routes(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(API)
    done = winserve("routes", cwd=tmp_path)
    assert done.status == 0, done.err
    assert [line.split() for line in done.out.splitlines()] == [
        ["app.py:app,", "4", "routes"],
        ["GET", "/api/items"],
        ["POST", "/api/items"],
        ["GET", "/api/items/<int:n>"],
        ["GET", "/report"],
    ]
    done = winserve("routes", "--measure", cwd=tmp_path)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[1].startswith("  GET        /api/items  200, 0.")
    assert lines[-2:] == ["--fast /api/items", "--slow /report"]
    (tmp_path / "app.py").write_text("def app(environ, start_response): raise OSError\n")
    done = winserve("routes", "--app=wsgiref.simple_server:demo_app", cwd=tmp_path)
    assert (done.status, done.out) == (
        1, "wsgiref.simple_server:demo_app does not tell its routes: it is no Flask app\n",
    )  # fmt: skip


def test_an_environment_and_a_folder_of_the_app_s_own(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "app.py").write_text(
        "import os\n"
        + HOME.format(name="app").replace('"hello"', "os.environ['WHO'] + os.getcwd()")
    )
    (tmp_path / "env").write_text("WHO=s3cret\n")
    report = tmp_path / "report"
    done = winserve(
        "check", "waitress", *SHORT, "--chdir=shop", "--env-file=env", f"--report={report}",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.out + done.err
    for file in report.iterdir():
        assert "s3cret" not in file.read_text("utf-8")
    assert read_json(report / "results.json")["environment"]["settings"]["env"] == ["WHO"]
    assert winserve("check", "waitress", *SHORT, "--chdir=none", cwd=tmp_path).status != 0


def test_that_the_sample_app_was_served_stands_at_the_end_too(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "wsgi.py").write_text(HOME.format(name="application"))
    told = "winserve: not your app was served, but the sample app of this package: there is no"
    done = winserve("load", "flask", *SHORT, cwd=tmp_path)
    assert done.status == 0, done.out + done.err
    words = " ".join(done.out.split())  # whatever lines they stand in
    assert told in words
    assert words.endswith("for project/wsgi.py, write --app project.wsgi")
    done = winserve("load", "flask", *SHORT, "--app=project.wsgi", cwd=tmp_path)
    assert done.status == 0, done.out + done.err
    assert "not your app" not in done.out
    command = ("command", "--command", FLASK_COMMAND, "--fast=/test")
    done = winserve("load", *command, *SHORT, cwd=tmp_path)
    assert done.status == 0, done.out + done.err
    assert "not your app" not in done.out
