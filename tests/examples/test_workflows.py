"""The workflows run what the metadata declares, with one version of each action."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from typing import Any

import pytest
import yaml

from tests.kit.pages import DOCS, ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@(\S+)(?: # (\S+))?")
PYTHON = "Programming Language :: Python :: 3."


def workflow(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))
    return content


@pytest.mark.parametrize(("name", "job"), [("ci.yml", "tests"), ("release.yml", "install")])
def test_every_python_of_the_metadata_is_tried_on_windows_and_linux(name: str, job: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = ["3." + c.removeprefix(PYTHON) for c in project["classifiers"] if PYTHON in c]
    assert project["requires-python"] == f">={declared[0]}"
    matrix = workflow(name)["jobs"][job]["strategy"]["matrix"]
    assert matrix == {"os": ["windows-latest", "ubuntu-latest"], "python": declared}


def test_each_action_is_pinned_to_one_commit_with_its_version() -> None:
    found = defaultdict(set)
    for path in [ROOT / "action.yml", *WORKFLOWS.glob("*.yml"), DOCS / "ci.md"]:
        for action, commit, version in PINNED.findall(path.read_text("utf-8")):
            if not action.startswith("OWNER/"):
                found[action].add((commit, version))
    assert {"actions/checkout", "actions/setup-python"} <= found.keys()
    for action, pins in found.items():
        ((commit, version),) = pins
        assert re.fullmatch("[0-9a-f]{40}", commit), action
        assert version.startswith("v"), action


def test_only_the_job_that_publishes_may_prove_who_it_is() -> None:
    release = workflow("release.yml")
    assert release["permissions"] == {}
    may = {name: set(job["permissions"]) for name, job in release["jobs"].items()}
    assert [name for name, what in may.items() if "id-token" in what] == ["publish"]
    assert release["jobs"]["publish"]["environment"] == "pypi"
    assert {*release["jobs"]["publish"]["needs"]} == {"check", "install"}
