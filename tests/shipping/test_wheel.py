"""The wheel has everything that the package needs when installed, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pytest_winserve.version import __version__
from tests.kit.pages import ROOT


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_is_the_package_and_the_labs_files(names: set[str]) -> None:
    expected = {f"pytest_winserve/{p.as_posix()}" for p in files(ROOT / "pytest_winserve")}
    expected |= {f"pytest_winserve/lab_files/{p.as_posix()}" for p in files(ROOT / "lab")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_what_is_not_python_is_there_and_tests_are_not(names: set[str]) -> None:
    assert {
        "pytest_winserve/lab_files/nginx/nginx.conf.j2",
        "pytest_winserve/report/templates/report.html.j2",
        "pytest_winserve/py.typed",
    } <= names
    assert [name for name in names if name.startswith(("tests", "benchmarks", "docs"))] == []
    info = {name.rpartition("/")[2] for name in names if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "LICENSE"} <= info


def test_the_wheel_has_the_version_of_the_package_in_its_name(wheel: Path) -> None:
    assert wheel.name == f"pytest_winserve-{__version__}-py3-none-any.whl"
