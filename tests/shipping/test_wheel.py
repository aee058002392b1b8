"""The wheel has everything that the package needs when installed, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pytest_winserve

ROOT = Path(pytest_winserve.__file__).parents[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
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
