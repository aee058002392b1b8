"""Packages are looked for without importing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent
from pytest_winserve.load.engines.locust.crew import find_locust
from pytest_winserve.system.packages import is_installed


def test_a_folder_of_that_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "module.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    names = ["folder", "package", "module", "nothing_of_that_name"]
    assert [is_installed(name) for name in names] == [False, True, True, False]


def test_a_folder_of_locustfiles_is_not_locust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locust").mkdir()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="neither a package nor a program 'locust'"):
        find_locust()
