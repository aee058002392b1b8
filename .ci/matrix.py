"""A small suite beside each plugin that others have, in environments of their own; the examples.

usage: python .ci/matrix.py [CASE...]

Two environments are made, in a temporary folder: one with the newest pytest, xdist and the plugins,
one with the oldest pytest and xdist that are declared. No plugin is loaded but the one that is
tried; the last case has them all. What each test must come to stands here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SHOP = EXAMPLES / "shop"
SECONDS = 300.0
"""What none of the runs needs."""
PLUGINS = (
    "allure-pytest", "anyio", "pytest-asyncio", "pytest-base-url", "pytest-bdd", "pytest-cov",
    "pytest-django", "pytest-flask", "pytest-html", "pytest-playwright", "pytest-randomly",
    "pytest-repeat", "pytest-rerunfailures", "pytest-timeout",
)  # fmt: skip
NEWEST = (f"{ROOT}[flask,waitress,tornado,gunicorn,xdist]", "django", *PLUGINS)
OLDEST = (f"{ROOT}[flask,waitress,tornado]",)

SUITE = """
def test_load(winserve):
    result = winserve.load(users=2, count=20, path="/products")
    result.require("error_rate == 0%", "unaccounted == 0")


class TestShop:
    def test_health(self, winserve):
        assert winserve.get("/health").json() == {"status": "ok"}


def test_own_site(winserve_factory):
    with winserve_factory("flask") as site:
        assert site.get("/health").ok


def test_plain():
    pass
"""
ONE = {"test_load[waitress]": "passed", "test_health[waitress]": "passed"}
TWO = ONE | {"test_load[tornado]": "passed", "test_health[tornado]": "passed"}
REST = {"test_own_site": "passed", "test_plain": "passed"}

Outcomes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A run of pytest, and what it must come to."""

    name: str
    options: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """Beside the suite."""
    more: Outcomes = field(default_factory=dict)
    """What the tests in these files come to."""
    suite: Outcomes = field(default_factory=lambda: ONE | REST)
    recorded: tuple[str, ...] = ()
    """Those of `more` that are in results.json, each as often as it ran."""
    check: Callable[[Path], object] = lambda _folder: True
    """Anything else that must be true of the folder."""
    status: int = 0
    topologies: str = "waitress"
    environment: str = "newest"
    example: str | None = None
    """A folder of the examples: its own suite, by its own settings."""


def passed(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "passed")


def beside(name: str, test: str, **more: str) -> dict[str, str]:
    return {f"test_{name}.py": test} | more


def distributed(dist: str, environment: str) -> Case:
    return Case(
        f"xdist-{dist}{'' if environment == 'newest' else '-oldest'}",
        f"-p xdist -n 2 --dist={dist}",
        suite=TWO | REST,
        topologies="waitress,tornado",
        environment=environment,
    )


DISTRIBUTIONS = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
APP = """
import pytest, shop
@pytest.fixture
def app(tmp_path):
    return shop.create_app(tmp_path / "unit.db")
"""
COVERAGE = """
[run]
patch = subprocess, fork, _exit
"""
CASES = (
    Case("alone"),
    Case("alone-oldest", environment="oldest"),
    Case(
        "flask", "-p flask",
        beside("flask", "def test_client(client): assert client.get('/health').status_code == 200\n"
               "def test_both(client, winserve):\n"
               "    assert client.get('/health').json == winserve.get('/health').json()\n",
               **{"conftest.py": APP}),
        {"test_client": "passed", "test_both[waitress]": "passed"},
        recorded=("test_both[waitress]",),
    ),
    Case(
        "base_url", "-p base_url --base-url=http://127.0.0.1:9",
        beside("base_url", "def test_base(base_url, winserve):\n"
               "    assert base_url == 'http://127.0.0.1:9' != winserve.url\n"),
        {"test_base[waitress]": "passed"},
        recorded=("test_base[waitress]",),
    ),
    Case("randomly", "-p randomly"),
    Case("django", "-p django"),
    Case(
        "rerunfailures", "-p rerunfailures --reruns=1",
        beside("again", "runs = []\ndef test_again(winserve):\n"
               "    runs.append(winserve.get('/health'))\n    assert len(runs) == 2\n"),
        {"test_again[waitress]": "passed"},
        recorded=("test_again[waitress]", "test_again[waitress]",),
    ),
    Case(
        "timeout", "-p timeout",
        beside("late", "import pytest\n@pytest.mark.timeout(2)\ndef test_late(winserve):\n"
               "    winserve.get('/report?seconds=50', timeout=60)\n"),
        {"test_late[waitress]": "failed"},
        recorded=("test_late[waitress]",),
        check=lambda folder: "Timeout" in (folder / "out.txt").read_text("utf-8"),
        status=1,
    ),
    # The lines of the app are run in the backends only: in four processes behind nginx, in a server
    # that forks its own.
    *(
        Case(
            f"cov-{topology}", "-p pytest_cov --cov=shop --cov-report=json",
            {".coveragerc": COVERAGE},
            suite={name.replace("waitress", topology): outcome for name, outcome in ONE.items()}
            | REST,
            check=lambda folder: covered(folder, "/products"),
            topologies=topology,
        )
        for topology in ("waitress", "nginx4", "gunicorn:workers=2")
    ),
    Case(
        "asyncio", "-p asyncio -o asyncio_mode=auto",
        beside("async", "import asyncio\nasync def test_async(winserve):\n"
               "    assert (await asyncio.to_thread(winserve.get, '/health')).ok\n"),
        {"test_async[waitress]": "passed"},
        recorded=("test_async[waitress]",),
    ),
    Case(
        "anyio", "-p anyio",
        beside("any", "import anyio.to_thread, pytest\n"
               "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
               "@pytest.mark.anyio\nasync def test_any(winserve):\n"
               "    assert (await anyio.to_thread.run_sync(winserve.get, '/health')).ok\n"),
        {"test_any[waitress]": "passed"},
        recorded=("test_any[waitress]",),
    ),
    Case(
        "html", "-p metadata -p html -p html_fixtures --html=page.html --self-contained-html",
        check=lambda folder: "test_load[waitress]" in (folder / "page.html").read_text("utf-8"),
    ),
    Case(
        "allure", "-p allure_pytest --alluredir=allure",
        check=lambda folder: sorted(
            json.loads(file.read_text("utf-8"))["name"]
            for file in (folder / "allure").glob("*-result.json")
        ) == ["test_health[waitress]", "test_load[waitress]", "test_own_site", "test_plain"],
    ),
    Case(
        "bdd", "-p pytest-bdd",
        {
            "shop.feature": "Feature: the shop\n    Scenario: health\n"
            "        When it is asked\n        Then it is well\n",
            "test_bdd.py": "from pytest_bdd import scenarios, then, when\n"
            "scenarios('shop.feature')\n"
            "@when('it is asked', target_fixture='answer')\n"
            "def _asked(winserve): return winserve.get('/health')\n"
            "@then('it is well')\ndef _well(answer): assert answer.ok\n",
        },
        {"test_health": "passed"},
        recorded=("test_health",),
    ),
    Case(
        "repeat", "-p repeat --count=2",
        suite={f"test_{name}-{n}-2]": "passed" for name in ("load[waitress", "health[waitress")
               for n in (1, 2)}
        | {f"test_{name}[{n}-2]": "passed" for name in ("own_site", "plain") for n in (1, 2)},
    ),
    Case("playwright", "-p base_url -p playwright"),
    Case(
        "example-flask_suite", "-p flask", example="flask_suite",
        suite=passed("test_notes_are_the_same_in_every_process[nginx2-waitress]",
                     "test_under_load[nginx2-waitress]"),
        more=passed("test_a_note_is_kept", "test_the_next_test_begins_without_notes"),
    ),
    Case(
        "example-django_suite", "-p django", example="django_suite",
        suite=passed("test_entries_are_the_same_in_every_process[nginx2-waitress]",
                     "test_under_load[nginx2-waitress]"),
        more=passed("test_an_entry_is_kept", "test_the_next_test_begins_without_entries"),
    ),
    Case(
        "example-browser", "-p base_url -p playwright", example="browser",
        suite=passed(
            "test_a_user_stays_signed_in_whichever_process_answers[chromium-nginx4-waitress]",
            "test_news_come_while_a_report_is_made[chromium-nginx4-waitress]",
            "test_the_page_under_load[nginx4-waitress]"),
    ),
    *(distributed(dist, "newest") for dist in DISTRIBUTIONS),
    distributed("load", "oldest"),
    distributed("loadgroup", "oldest"),
    Case(
        "all-together",
        "-p flask -p django -p base_url -p playwright -p randomly -p rerunfailures -p timeout "
        "-p pytest_cov -p asyncio -p anyio -p metadata -p html -p html_fixtures -p allure_pytest "
        "-p pytest-bdd -p repeat -p xdist -n 2",
        suite=TWO | REST,
        topologies="waitress,tornado",
    ),
)  # fmt: skip


def covered(folder: Path, route: str) -> bool:
    """Whether the lines of that route, which only a backend runs, are among those that ran."""
    lines = (SHOP / "shop.py").read_text("utf-8").splitlines()
    begin = next(n for n, line in enumerate(lines, 1) if f'get("{route}")' in line)
    files = json.loads((folder / "coverage.json").read_text("utf-8"))["files"]
    (ran,) = (data["executed_lines"] for name, data in files.items() if name.endswith("shop.py"))
    return {begin + 2, begin + 3} <= set(ran)


def declared(name: str) -> str:
    """The oldest version of a package that pyproject.toml declares."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(rf'"{name}>=([\d.]+)"', text)
    assert found is not None, name
    return f"{name}=={found[1]}"


def make_environment(folder: Path, *packages: str) -> Path:
    """A virtual environment with these packages; its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def run(case: Case, python: Path, folder: Path) -> list[str]:
    """Run a case in a new folder; what is not as it must be."""
    own = ["--winserve-app=shop:create_app()", f"--winserve-topology={case.topologies}"]
    if case.example is not None:
        shutil.copytree(EXAMPLES / case.example, folder)
        own = []
    else:
        folder.mkdir()
        for name, text in {"test_suite.py": SUITE, **case.files}.items():
            (folder / name).write_text(text, "utf-8")
    dropped = ("WINSERVE_", "PYTEST_", "VIRTUAL_ENV", "COV_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    environment |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(SHOP),
        "SHOP_DATABASE": str(folder / "shop.db"),
    }
    done = subprocess.run(
        [python, "-m", "pytest", "-p", "winserve", *case.options.split(), "--junitxml=junit.xml",
         "--rootdir=.", "--strict-markers", *own, "--winserve-report=report"],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    (folder / "out.txt").write_text(done.stdout, "utf-8")
    wrong = [] if done.returncode == case.status else [f"status {done.returncode}"]
    try:
        wrong += differences("outcomes", sorted({**case.suite, **case.more}.items()),
                             sorted(outcomes_in(folder / "junit.xml").items()))  # fmt: skip
        wrong += differences(
            "records", sorted([*served(case.suite), *case.recorded]), records_in(folder)
        )
        wrong += [] if case.check(folder) else ["the case's own check does not hold"]
    except (OSError, ValueError) as error:
        wrong.append(f"{error!r}")
    return [*wrong, done.stdout] if wrong else []


def served(suite: Outcomes) -> list[str]:
    """The tests that have a site."""
    return [name for name in suite if not name.startswith("test_plain")]


def differences(what: str, expected: object, found: object) -> list[str]:
    return [] if expected == found else [f"{what}: expected {expected}\n  found {found}"]


def outcomes_in(file: Path) -> dict[str, str]:
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        # xdist adds its group to ids.
        name = re.sub(r"@[^\]]*$", "", case.attrib["name"])
        found[name] = {"failure": "failed"}.get(kinds[0], kinds[0]) if kinds else "passed"
    return found


def records_in(folder: Path) -> list[str]:
    tests = json.loads((folder / "report" / "results.json").read_text("utf-8"))["tests"]
    return sorted(test["nodeid"].rpartition("::")[2] for test in tests)


def main() -> int:
    chosen = [case for case in CASES if case.name in sys.argv[1:] or not sys.argv[1:]]
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        oldest = (*OLDEST, *map(declared, ("pytest", "pytest-xdist")))
        packages = {"newest": NEWEST, "oldest": oldest}
        pythons = {
            each: make_environment(Path(name, each), *packages[each])
            for each in sorted({case.environment for case in chosen})
        }
        for case in chosen:
            began = time.monotonic()
            wrong = run(case, pythons[case.environment], Path(name, f"run-{case.name}"))
            failed += bool(wrong)
            print(f"{case.name}: {'FAILED' if wrong else 'as expected'}, "  # noqa: T201
                  f"{time.monotonic() - began:.1f} s", *wrong, sep="\n  " if wrong else "",
                  flush=True)  # fmt: skip
    print(f"{len(chosen) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
