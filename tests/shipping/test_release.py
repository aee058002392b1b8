"""What a tag needs to be released, by the script that the release begins with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.pages import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project at version 1.2.0 that is ready to be released."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "check_release.py", tmp_path / ".ci")
    (tmp_path / "pytest_winserve").mkdir()
    (tmp_path / "pytest_winserve" / "version.py").write_text('__version__ = "1.2.0"\n', "utf-8")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.0 - 2026-11-30\n\n## 1.1.0 - 2026-10-01\n", "utf-8"
    )
    return tmp_path


def check(project: Path, *arguments: str) -> tuple[int, str]:
    script = project / ".ci" / "check_release.py"
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_a_tag_of_the_version_with_its_changelog_is_released(project: Path) -> None:
    assert check(project, "v1.2.0") == (0, "")


@pytest.mark.parametrize("tag", ["1.2.0", "v1.2", "v1.2.1", "v1.2.0rc1", ""])
def test_another_tag_is_refused(project: Path, tag: str) -> None:
    assert check(project, tag) == (
        1, f"the tag is {tag}, but pytest_winserve/version.py says 1.2.0: v1.2.0\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changelog", "first"),
    [
        ("## 1.2.0 - unreleased\n", "1.2.0 - unreleased"),
        ("## 1.1.0 - 2026-10-01\n", "1.1.0 - 2026-10-01"),
        ("## 1x2.0 - 2026-10-01\n", "1x2.0 - 2026-10-01"),
        ("# Changelog\n", "nothing"),
    ],
)
def test_a_changelog_that_is_not_ready_is_refused(
    project: Path, changelog: str, first: str
) -> None:
    (project / "CHANGELOG.md").write_text(changelog, "utf-8")
    assert check(project, "v1.2.0") == (
        1, f"CHANGELOG.md begins with {first!r}, not with '1.2.0 - YYYY-MM-DD'\n"
    )  # fmt: skip


def test_the_version_of_this_package_is_found(project: Path) -> None:
    from pytest_winserve.version import __version__

    shutil.copy(ROOT / "pytest_winserve" / "version.py", project / "pytest_winserve")
    (project / "CHANGELOG.md").write_text(f"## {__version__} - 2026-11-30\n", "utf-8")
    assert check(project, f"v{__version__}") == (0, "")


def test_a_version_that_is_not_there_is_told(project: Path) -> None:
    (project / "pytest_winserve" / "version.py").write_text("", "utf-8")
    status, said = check(project, "v1.2.0")
    assert (status, said) == (1, "pytest_winserve/version.py has no line `__version__ = ...`\n")


def test_it_wants_a_tag(project: Path) -> None:
    assert check(project) == (2, "usage: check_release.py TAG\n")
