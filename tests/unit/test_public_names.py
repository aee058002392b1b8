"""Every public name can be imported from where the docs name it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

PUBLIC = {
    "pytest_winserve": [
        "Journey",
        "Lab",
        "Request",
        "Site",
        "Step",
        "Topology",
        "__version__",
    ],
    "pytest_winserve.cli": ["main"],
    "pytest_winserve.errors": [
        "CriterionFailed",
        "HostLost",
        "LoadError",
        "MissingComponent",
        "StartError",
        "StartTimeout",
        "StopError",
        "UsageError",
        "WinserveError",
    ],
    "pytest_winserve.fronts": ["Front"],
    "pytest_winserve.hosts": ["Host"],
    "pytest_winserve.load": [
        "BackendShare",
        "Check",
        "Criterion",
        "Engine",
        "Generator",
        "Histogram",
        "Ledger",
        "Measured",
        "OutcomeTimes",
        "Plan",
        "Progress",
        "Request",
        "RequestShare",
        "Result",
        "Second",
        "Stage",
        "Target",
        "evaluate",
        "get_engine",
        "hdr",
        "require",
    ],
    "pytest_winserve.load.criteria": ["Criterion"],
    "pytest_winserve.load.engines.locust": ["LocustEngine"],
    "pytest_winserve.load.engines.tsung": ["TsungEngine"],
    "pytest_winserve.load.hdr": ["encode", "write_log"],
    "pytest_winserve.load.locust_crew": ["Machine"],
    "pytest_winserve.load.tsung_config": ["Client"],
    "pytest_winserve.load.tsung_log": ["TsungLog", "read_log"],
    "pytest_winserve.options": ["Option", "Options"],
    "pytest_winserve.sample_app": ["app"],
    "pytest_winserve.servers": ["Concurrency", "Job", "Package", "Running", "Server"],
}
"""What suites, load scripts and servers of other packages import."""

GROUPS = ("servers", "fronts", "hosts", "load.engines")


def importable(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in PUBLIC.items() for name in names]
)
def test_a_public_name(module: str, name: str) -> None:
    assert importable(module, name)


def imported() -> list[tuple[str, str]]:
    """What the pages import, as (module, name)."""
    lines = re.compile(r"^\s*from (pytest_winserve[\w.]*) import ([\w, ]+)$", re.M)
    return sorted({
        (module, name.strip())
        for page in PAGES
        for module, names in lines.findall(page.read_text("utf-8"))
        for name in names.split(",")
    })  # fmt: skip


def test_the_pages_import_what_is_listed() -> None:
    """So that a page cannot name what this file does not hold."""
    listed = {(module, name) for module, names in PUBLIC.items() for name in names}
    found = set(imported())
    assert len(found) > 8
    assert found <= listed


def test_modules_that_are_run_or_collected_by_name() -> None:
    for module in ("pytest_winserve.checks", "pytest_winserve.locust_join"):
        assert importlib.util.find_spec(module) is not None


def test_groups_of_entry_points_are_packages() -> None:
    """The group in which another package adds a member is the package of its kind."""
    for group in GROUPS:
        assert importlib.import_module(f"pytest_winserve.{group}").__path__


def test_entry_points() -> None:
    points = importlib.metadata.distribution("pytest-winserve").entry_points
    assert {(p.group, p.name, p.value) for p in points} == {
        ("console_scripts", "winserve", "pytest_winserve.cli:main"),
        ("pytest11", "winserve", "pytest_winserve.plugin"),
    }
