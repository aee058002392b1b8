"""Where things are kept between runs, here and on another machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from pytest_winserve.shipping.arrival import base_folder, usual_caches
from pytest_winserve.system.cache import cache_folder


@pytest.fixture(autouse=True)
def _not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def test_it_is_where_the_docs_say() -> None:
    places = {
        "Linux": Path.home() / ".cache",
        "Windows": Path(os.environ.get("LOCALAPPDATA", "")),
        "Darwin": Path.home() / "Library" / "Caches",
    }
    assert cache_folder() == places[platform.system()] / "pytest-winserve"


def test_a_folder_that_is_named_is_taken_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine" / "pytest-winserve"
    assert base_folder() == tmp_path / "mine" / "pytest-winserve" / "host"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "mine")
    assert cache_folder() == tmp_path / "mine" / "pytest-winserve"
    assert base_folder() == tmp_path / "mine" / "pytest-winserve" / "host"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert tmp_path not in cache_folder().parents


def test_another_machine_keeps_what_is_brought_in_the_same_folder() -> None:
    assert base_folder() == cache_folder() / "host"


def test_the_places_that_another_machine_knows_are_those_of_its_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Path(usual_caches("Linux")) == Unix().user_cache_path
    assert Path(usual_caches("Darwin")) == MacOS().user_cache_path
    monkeypatch.setenv("LOCALAPPDATA", str(Path("C:/local")))
    assert Path(usual_caches("Windows")) == Path("C:/local")
    monkeypatch.delenv("LOCALAPPDATA")
    assert Path(usual_caches("Windows")) == Path.home() / "AppData" / "Local"
