"""PowerShell in the workflows, the documentation and the lab can be parsed. Nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_powershell
import yaml
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```powershell\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARSER = Parser(Language(tree_sitter_powershell.language()))


def errors(script: str) -> list[str]:
    """Where a script cannot be parsed, as `LINE: TEXT`."""

    def walk(node: Node) -> Iterator[Node]:
        if node.is_error or node.is_missing:
            yield node
        for child in node.children:
            yield from walk(child)

    root = PARSER.parse(script.encode()).root_node
    return [f"{node.start_point.row + 1}: {node.text!r}" for node in walk(root)]


def jobs(path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The runners of each job of a workflow, and its steps; an action's run anywhere."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "runs" in content:
        yield "any", content["runs"]["steps"]
    for job in content.get("jobs", {}).values():
        yield job["runs-on"], job["steps"]


def is_powershell(step: dict[str, Any], runner: str) -> bool:
    """On Windows a step without a shell is PowerShell's."""
    on_windows = not runner.startswith("ubuntu") and "'Linux'" not in step.get("if", "")
    return step.get("shell", "pwsh" if on_windows else "bash") in ("pwsh", "powershell")


def scripts() -> dict[str, str]:
    """Every PowerShell script of the repository, by where it stands."""
    found = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, text in enumerate(FENCE.findall(path.read_text(encoding="utf-8"))):
            found[f"{path.name}-{number}"] = text
    for path in [ROOT / "action.yml", *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]:
        runs = [step for runner, steps in jobs(path) for step in steps
                if "run" in step and is_powershell(step, runner)]  # fmt: skip
        for number, step in enumerate(runs):
            found[f"{path.name}-{number}"] = step["run"]
    for path in sorted((ROOT / "lab").rglob("*.ps1")):
        found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8-sig")
    return found


@pytest.mark.parametrize(("where", "script"), scripts().items(), ids=scripts())
def test_a_script_can_be_parsed(where: str, script: str) -> None:
    assert errors(script) == [], where


def test_the_known_scripts_are_found() -> None:
    found = scripts()
    assert {"README.md-0", "README.md-1"} <= set(found)
    assert "winserve check" in found["README.md-0"]
    assert "python -m pytest -n 4" in found.values()
    assert any("nginx.exe" in script for script in found.values())
    assert "lab/vagrant/provision.ps1" in found


@pytest.mark.parametrize(
    "broken", ["if ($?) { Get-Item .", "Get-Item )", 'Write-Output "open', "foreach ($a in $b { }"]
)
def test_a_broken_script_is_seen(broken: str) -> None:
    assert errors(broken)
