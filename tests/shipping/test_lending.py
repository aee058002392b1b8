"""An app is served by the Python of its own virtual environment, which stays as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.shipping.app_python import look_at
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.environments import make_environment, make_wheel
from tests.kit.platforms import not_on_windows, not_on_wine

pytestmark = needs("minutes")

APP = """
import importlib.util, json, os, sys

def app(environ, start_response):
    found = {name: importlib.util.find_spec(name) is not None for name in NAMES}
    body = json.dumps({"prefix": sys.prefix, "path": sys.path, "found": found,
                       "active": os.environ.get("VIRTUAL_ENV")}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]

NAMES = ("waitress", "gevent", "psutil", "requests", "pytest", "flask")
"""

sees_its_own_only = not_on_wine("has what the lab needs on PYTHONPATH, as if it were the app's")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app in it, a cache of this test's own, and no package index."""
    folder, wheels = tmp_path / "project", tmp_path / "wheels"
    folder.mkdir()
    wheels.mkdir()
    (folder / "hello.py").write_text(APP)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    )


@sees_its_own_only
def test_what_it_has_serves_and_nothing_of_the_labs_is_seen(project: Path) -> None:
    python = make_environment(project / "venv", "waitress")
    (other,) = (project / "venv").rglob("waitress/__init__.py")
    another_version = other.parents[1] / "pytest_winserve"
    another_version.mkdir()
    (another_version / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    before = files_in(project / "venv")
    with Lab(python=str(python)).serve("waitress", "hello:app", fast="/") as site:
        told = site.get("/").json()
    assert Path(told["prefix"]).samefile(project / "venv")
    assert Path(told["active"]).samefile(project / "venv")
    assert [name for name, found in told["found"].items() if found] == ["waitress"]
    assert "lent" not in site.machine
    assert files_in(project / "venv") == before


@sees_its_own_only
def test_what_it_lacks_is_lent_once(project: Path, tmp_path: Path) -> None:
    make_environment(project / "venv")
    wheel = make_wheel("waitress", tmp_path / "wheels")
    before = files_in(project / "venv")
    with Lab(python="venv").serve("waitress", "hello:app", fast="/") as site:
        told = site.get("/").json()
    assert [name for name, found in told["found"].items() if found] == ["waitress"]
    assert "waitress" in Path(told["path"][-1]).name
    (lent,) = site.machine["lent"].items()
    assert wheel.name.startswith("-".join(lent))
    assert files_in(project / "venv") == before
    wheel.unlink()  # what is there is not got again
    with Lab(python="venv").serve("waitress", "hello:app", fast="/") as site:
        assert site.get("/").ok
    with pytest.raises(
        MissingComponent, match=r"no wheel of gevent\S* could be found for Python 3"
    ):
        Lab(python="venv").serve("gevent", "hello:app", fast="/")


@sees_its_own_only
def test_what_an_app_lacks_there_is_said_with_how_to_get_it(project: Path) -> None:
    python = make_environment(project / "venv", "waitress")
    (project / "shop.py").write_text("import flask\n")
    with pytest.raises(StartError, match="No module named 'flask'") as caught:
        Lab(python="venv").serve("waitress", "shop:app", fast="/")
    last = str(caught.value).splitlines()[-1]
    assert last == f"  a package that the app needs: {python} -m pip install PACKAGE"


@sees_its_own_only
def test_the_report_says_what_served_and_what_was_lent(project: Path, tmp_path: Path) -> None:
    python = make_environment(project / "venv")
    make_wheel("waitress", tmp_path / "wheels")
    done = winserve("load", "waitress", "--app", "hello:app", "--fast", "/", "--count", "1",
                    "--users", "1", "--report", "report",
                    VIRTUAL_ENV=str(project / "venv"))  # fmt: skip
    assert done.status == 0, done
    assert "; lent to it: waitress " in " ".join(done.out.split())
    environment = json.loads(Path("report/results.json").read_text("utf-8"))["environment"]
    assert environment["python"] == look_at(str(python)).version
    assert list(environment["lent"]) == ["waitress"]
    assert "flask" not in environment["versions"]
    assert environment["versions"]["pytest"]
    assert "lent: waitress" in Path("report/summary.md").read_text("utf-8")
    assert "lent: waitress" in Path("report/report.html").read_text("utf-8")


def test_a_file_that_is_no_python(project: Path) -> None:
    script = project / "script"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    for name, told in (("hello.py", "it does not run"), ("script", "hello|does not run")):
        with pytest.raises(UsageError, match=rf"is no Python.*({told})"):
            look_at(name)


@not_on_windows("a script stands in for a Python")
def test_a_python_that_is_too_old(project: Path) -> None:
    script = project / "python"
    script.write_text('#!/bin/sh\necho \'{"version": [3, 9, 7], "prefix": "/usr"}\'\n')
    script.chmod(0o755)
    with pytest.raises(UsageError, match=r"is Python 3\.9\.7; 3\.10 or later is needed"):
        look_at("python")


def test_a_cache_without_a_place(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(project / "venv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "hello.py"))
    with pytest.raises(StartError, match=r"what is lent cannot be kept in "):
        Lab(python="venv").serve("waitress", "hello:app", fast="/")


def test_the_labs_own_python_is_no_other(project: Path) -> None:
    assert look_at(sys.executable).is_own
    with Lab(python=sys.executable).serve("waitress", "hello:app", fast="/") as site:
        assert site.get("/").json()["found"]["pytest"]
    assert site.machine == {}


@sees_its_own_only
def test_an_app_with_an_older_flask_and_no_server(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real packages from an index."""
    monkeypatch.delenv("PIP_NO_INDEX")
    python = make_environment(project / "venv")

    def pip(*words: str) -> str:
        command = [sys.executable, "-m", "pip", "--python", str(python), *words]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout

    pip("install", "flask==2.1.3", "werkzeug==2.2.3")
    before, files = pip("freeze"), files_in(project / "venv")
    (project / "shop.py").write_text(
        "from flask import Flask\n"
        "try:\n    import gevent\nexcept ImportError:\n    gevent = None\n"
        "app = Flask(__name__)\n"
        "@app.route('/test')\ndef test():\n    return str(gevent is not None)\n"
    )
    with Lab(python="venv") as lab:
        for topology, found in (("nginx2-waitress", "False"), ("gevent", "True")):
            with lab.serve(topology, "shop:app") as site:
                assert site.get("/test").text == found
        with lab.serve("flask", "shop:app") as site:
            assert site.get("/test").text == "False"
            assert "lent" not in site.machine
    assert (pip("freeze"), files_in(project / "venv")) == (before, files)
