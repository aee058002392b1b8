"""The action's own steps, run here as GitHub would run them, with the shop as somebody's app."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.kit.commands import clean_environment
from tests.kit.components import needs
from tests.kit.pages import SHOP, rows

pytestmark = needs("minutes")

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")
SMALL = {
    "app": "shop:create_app()",
    "topologies": "waitress,nginx1",
    "slow": "/report?seconds=0.5",
    "fast": "/health",
    "users": "5",
    "duration": "0.5",
}


class Ended(NamedTuple):
    """What a step left behind."""

    status: int
    log: str
    summary: str
    report: Path


class Runner:
    """The part of GitHub's runner that the action's steps see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.site = folder / "site"
        shutil.copytree(SHOP, self.workspace / "app")

    def run(self, step: dict[str, Any], given: dict[str, str]) -> Ended:
        """Run one of the action's steps with these inputs."""
        inputs = {name: each["default"] for name, each in ACTION["inputs"].items()} | given

        def filled(text: str) -> str:
            return INPUT.sub(lambda match: inputs[match[1]], text)

        assert step["shell"] == "python"
        assert "${{" not in step["run"]
        script, summary, output = (self.folder / name for name in ("step.py", "summary", "output"))
        script.write_text(step["run"], encoding="utf-8")
        summary.write_text("before\n", encoding="utf-8")
        output.write_text("", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script)],
            cwd=self.workspace / filled(step["working-directory"]),
            env=clean_environment() | {
                "SHOP_DATABASE": str(self.folder / "shop.sqlite"),
                "PYTHONPATH": str(self.site),
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_STEP_SUMMARY": str(summary),
                "GITHUB_OUTPUT": str(output),
                "RUNNER_TEMP": str(self.folder),
                **{name: filled(value) for name, value in step["env"].items()},
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        outputs = dict(line.split("=", 1) for line in output.read_text("utf-8").splitlines())
        return Ended(
            done.returncode,
            done.stdout,
            summary.read_text(encoding="utf-8"),
            Path(outputs.get("report", "")),
        )

    def install(self) -> Ended:
        """Only the package itself, into a folder of its own: no network, nothing replaced here."""
        words = f"--no-deps --no-build-isolation --target '{self.site.as_posix()}'"
        step = next(each for each in ACTION["runs"]["steps"] if "INSTALL" in each.get("env", {}))
        return self.run(step, {"install": words})

    def check(self, **given: str) -> Ended:
        step = next(each for each in ACTION["runs"]["steps"] if each.get("id") == "check")
        return self.run(step, {**SMALL, "working-directory": "app", **given})


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A runner on which the action's first steps have been run."""
    made = Runner(tmp_path_factory.mktemp("runner"))
    done = made.install()
    assert done.status == 0, done.log
    assert (made.site / "pytest_winserve" / "lab_files" / "nginx" / "nginx.conf.j2").is_file()
    return made


def test_the_tables_are_in_the_summary_and_the_report_is_kept(runner: Runner) -> None:
    done = runner.check(require="error_rate == 0%\nunaccounted == 0\n")
    assert done.status == 0, done.log
    assert done.summary.startswith("before\n# pytest-winserve\n")
    assert re.search(r"^\| topology +\|.* error rate ", done.summary, re.MULTILINE)
    for topology in ("waitress", "nginx1"):
        assert re.search(rf"^\| {topology} ", done.summary, re.MULTILINE)
    assert "shop:create\\_app()" in done.summary
    assert {path.name for path in done.report.iterdir()} == {
        "results.json", "report.html", "summary.md",
    }  # fmt: skip
    results = json.loads((done.report / "results.json").read_text(encoding="utf-8"))
    settings = results["environment"]["settings"]
    assert (settings["users"], settings["duration"]) == (5, 0.5)
    assert [each["criterion"] for each in results["requirements"]] == [
        "error_rate == 0%", "unaccounted == 0",
    ]  # fmt: skip
    assert {each["failed"] for each in results["requirements"]} == {0}


def test_a_criterion_that_does_not_hold_fails_the_step(runner: Runner) -> None:
    done = runner.check(topologies="waitress", require="rate > 10000000/s")
    assert done.status == 1, done.log
    assert "rate &gt; 10000000/s" in done.summary
    assert re.search(r"^\| (page|request) +\|", done.summary, re.MULTILINE)


def test_wrong_usage_fails_the_step_and_the_summary_says_so(runner: Runner) -> None:
    done = runner.check(topologies="floask")
    assert done.status == 2, done.log
    assert "unknown server" in done.log
    assert done.summary == "before\nwinserve check: nothing was measured, exit status 2\n"


def test_what_is_not_given_is_taken_from_the_ini_file(runner: Runner) -> None:
    nothing = dict.fromkeys(("app", "topologies", "slow", "fast"), "")
    done = runner.check(**nothing)
    assert done.status == 0, done.log
    results = json.loads((done.report / "results.json").read_text(encoding="utf-8"))
    assert {test["topology"] for test in results["tests"]} == {"nginx4"}
    assert {test["app"] for test in results["tests"]} == {"shop:create_app()"}
    assert [each["criterion"] for each in results["requirements"]] == ["unaccounted == 0"]


def test_an_input_is_a_value_never_code(runner: Runner) -> None:
    done = runner.check(app="shop:x\"'; touch pwned; $(touch pwned) #")
    assert done.status == 2, done.log
    assert not list(runner.folder.rglob("pwned"))


def test_the_table_of_inputs_is_the_actions() -> None:
    described = [row for row in rows("ci.md") if len(row) == 3 and row[0] in ACTION["inputs"]]
    assert described == [
        [name, each["default"] or "none", each["description"].strip("`")]
        for name, each in ACTION["inputs"].items()
    ]


def test_the_calls_in_the_documentation_use_inputs_that_exist() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    calls = []
    for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        content = yaml.safe_load(block)
        steps = content if isinstance(content, list) else [
            step for job in content["jobs"].values() for step in job["steps"]
        ]  # fmt: skip
        calls += [step for step in steps if "/pytest-winserve@" in step.get("uses", "")]
    assert len(calls) >= 2
    for call in calls:
        assert set(call.get("with", {})) <= set(ACTION["inputs"])
