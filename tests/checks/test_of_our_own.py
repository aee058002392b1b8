"""The stock checks are our own: what the app's project says to pytest is not said to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_winserve.report.store import read_json
from tests.kit.commands import Done, winserve
from tests.kit.components import needs

pytestmark = needs("minutes")

SHORT = ("--users=2", "--duration=0.5", "--slow=/sleep?seconds=0.4")
SHOP = """
from pytest_winserve.sample_app import app
"""
# A plugin that is installed, with an option, an ini key, a fixture and a hook that get in the way.
FOREIGN = """
import os, pytest
def pytest_addoption(parser):
    parser.addini("foreign_must", "what this plugin must be told")
def pytest_configure(config):
    open("foreign_ran", "w").close()
    raise pytest.UsageError("the plugin of somebody else has the last word")
"""
CONFTEST = """
import pathlib, pytest
pathlib.Path("conftest_ran").touch()
import nowhere_to_be_found
def pytest_sessionstart(session): raise RuntimeError("a server cannot be started twice")
@pytest.fixture(autouse=True)
def database(): raise RuntimeError("there is no database")
"""


def check(folder: Path, *options: str, **environment: str) -> Done:
    return winserve("check", "waitress", *SHORT, *options, cwd=folder, **environment)


def all_pass(done: Done) -> None:
    assert done.status == 0, done.out + done.err
    assert "4 passed in " in done.out.splitlines()[-1]
    assert "warning" not in done.out


OWN = """
python_files = *_spec.py
python_functions = should_*
testpaths = nowhere
addopts = -m integration --lf --cov=. --cov-fail-under=80 --maxfail=1 -k nothing
timeout = 0.001
required_plugins = pytest-nowhere
minversion = 99
filterwarnings = error
xfail_strict = true
usefixtures = database
norecursedirs = *
foreign_must = be here
"""
STRICT = "strict = true\naddopts = --strict-markers --strict-config\nunknown_key = 1\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", f"[pytest]\n{OWN}"),
        ("pytest.ini", f"[pytest]\n{STRICT}"),
        (".pytest.ini", f"[pytest]\n{OWN}"),
        ("tox.ini", f"[pytest]\n{OWN}"),
        ("setup.cfg", f"[tool:pytest]\n{OWN}"),
        ("pyproject.toml", ('[tool.pytest.ini_options]\naddopts = "-m integration -n 3"\n'
                           'python_files = ["*_spec.py"]\nrequired_plugins = ["nowhere"]\n')),
    ],
    ids=["pytest.ini", "strict", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"],
)  # fmt: skip
def test_the_projects_ini_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    all_pass(check(tmp_path))


@pytest.mark.parametrize("place", ["conftest.py", "tests/conftest.py"])
def test_the_projects_conftest(tmp_path: Path, place: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / place).write_text(CONFTEST)
    all_pass(check(tmp_path))
    assert not (tmp_path / "conftest_ran").exists()


def installed(folder: Path) -> dict[str, str]:
    """The environment in which a plugin of somebody else is installed."""
    (folder / "foreign-1.dist-info").mkdir(parents=True)
    (folder / "foreign-1.dist-info" / "METADATA").write_text("Name: foreign\nVersion: 1\n")
    (folder / "foreign-1.dist-info" / "entry_points.txt").write_text(
        "[pytest11]\nforeign = foreign\n"
    )
    (folder / "foreign.py").write_text(FOREIGN)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_plugins_and_variables_of_others(tmp_path: Path) -> None:
    environment = installed(tmp_path / "site")
    environment |= {"PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "foreign"}
    all_pass(check(tmp_path, **environment))
    assert not (tmp_path / "foreign_ran").exists()


def test_the_app_has_the_environment_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        SHOP + "import os\n"
        "names = ('PYTEST_ADDOPTS', 'PYTEST_PLUGINS', 'PYTEST_DISABLE_PLUGIN_AUTOLOAD')\n"
        "seen = [os.environ.get(name) for name in names]\n"
        "assert seen == ['--own', 'own', None], seen\n"
    )
    done = check(tmp_path, "--app=shop:app", PYTEST_ADDOPTS="--own", PYTEST_PLUGINS="own")
    all_pass(done)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", ("[pytest]\npythonpath = src 'other src'\nwinserve_app = shop:app\n"
                       "winserve_require =\n    capacity > 4\n    error_rate == 0%\n")),
        ("pyproject.toml", ("[tool.pytest.ini_options]\npythonpath = ['src', 'other src']\n"
                           "winserve_app = 'shop:app'\n"
                           "winserve_require = ['capacity > 4', 'error_rate == 0%']\n")),
    ],
    ids=["ini", "toml"],
)  # fmt: skip
def test_what_is_said_to_the_plugin_counts(tmp_path: Path, name: str, text: str) -> None:
    """Also in a folder below the ini file, where the paths are of the ini file's folder."""
    (tmp_path / name).write_text(text)
    for folder in ("src", "other src", "below"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "shop.py").write_text("from parts import app\n")
    (tmp_path / "other src" / "parts.py").write_text(SHOP)
    done = check(tmp_path / "below", "--report=out")
    assert done.status == 1, done.out + done.err
    assert "capacity > 4: measured 4" in done.out
    assert "required error_rate == 0%: held" in done.out
    tests = read_json(tmp_path / "below" / "out" / "results.json")["tests"]
    assert {test["app"] for test in tests} == {"shop:app"}


def test_the_command_line_and_the_environment_come_first(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nwinserve_users = 7\nwinserve_topology = flask\n"
    )
    done = check(tmp_path, "--report=out", WINSERVE_USERS="3")
    all_pass(done)
    tests = read_json(tmp_path / "out" / "results.json")["tests"]
    assert {test["topology"] for test in tests} == {"waitress"}
    (result,) = [result for test in tests for result in test["results"]]
    assert result["plan"]["users"] == 2


# -- exit statuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pytest.ini", "[pytest]\nwinserve_topolgy = flask\n", "no key 'winserve_topolgy'"),
        ("pytest.ini", "[pytest]\nwinserve_engine = none\n", "unknown engine 'none'"),
        ("pytest.ini", "pytest]\n", "cannot be read: "),
        ("pyproject.toml", "[tool.pytest\n", "cannot be read: "),
        ("setup.cfg", "[pytest]\naddopts = -q\n", "cannot be read: [pytest] section"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    done = check(tmp_path)
    assert (done.status, "Traceback" in done.err) == (2, False), done
    assert said in done.err


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--app=no_such:app",), 2),
        (("--fast=/none",), 2),
        (("--require=capacity > 4",), 1),
        (("--require=p95 < 9s", "--require=rate > 0"), 0),
        (("--report=taken/report",), 2),
    ],
)
def test_the_status_says_what_was_wrong(
    tmp_path: Path, options: Sequence[str], status: int
) -> None:
    (tmp_path / "taken").write_text("a file")
    done = check(tmp_path, *options)
    assert done.status == status, done.out + done.err


def test_an_error_inside_of_pytest_is_not_something_that_is_missing(tmp_path: Path) -> None:
    """Whose status would be 3 as well."""
    (tmp_path / "sitecustomize.py").write_text(
        "import _pytest.main\ndef broken(session): raise RuntimeError('inside')\n"
        "_pytest.main.pytest_runtestloop = broken\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = check(tmp_path, **environment)
    assert "INTERNALERROR" in done.out + done.err
    assert done.status == 1


@pytest.mark.usefixtures("traces")
def test_a_site_that_does_not_stop_as_it_should(tmp_path: Path) -> None:
    done = winserve("check", "flask", "--app=apps.stubborn:thread()", "--fast=/", "--slow=/",
                    "--users=2", "--duration=0.3", "--report=out", cwd=tmp_path)  # fmt: skip
    assert done.status == 1
    assert "did not stop as it should" in done.out
    tests = read_json(tmp_path / "out" / "results.json")["tests"]
    (result,) = [result for test in tests for result in test["results"]]
    assert result["sent"] > 0
