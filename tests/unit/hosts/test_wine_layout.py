"""What an earlier set-up for Wine has left, or none: it is not there, with the line to get it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent
from pytest_winserve.hosts.wine import machine
from pytest_winserve.hosts.wine.layout import SETUP, Layout
from pytest_winserve.hosts.wine.machine import PARTS, WineMachine
from tests.kit.platforms import not_on_windows

WHOLE = {name: {"key": f"the {name}", "files": {}} for name in PARTS}


def nothing(root: Path) -> None:
    """The folder was never made."""


def a_file(root: Path) -> None:
    root.touch()


def an_empty_folder(root: Path) -> None:
    root.mkdir()


def half_made(root: Path) -> None:
    (root / "prefix").mkdir(parents=True)
    write(root, {"prefix": WHOLE["prefix"]})


def a_folder_for_a_state(root: Path) -> None:
    (root / "state.json").mkdir(parents=True)


def a_torn_state(root: Path) -> None:
    root.mkdir()
    (root / "state.json").write_text('{"prefix": {"key"', "utf-8")


def bytes_of_something_else(root: Path) -> None:
    root.mkdir()
    (root / "state.json").write_bytes(b"\xff\xfe\0")


def a_state_that_is_a_list(root: Path) -> None:
    write(root, ["prefix", "python"])


def parts_that_are_no_parts(root: Path) -> None:
    write(root, {"prefix": 1, "python": "3.11", "site": None, "package": []})


def write(root: Path, state: object) -> None:
    root.mkdir(exist_ok=True)
    (root / "state.json").write_text(json.dumps(state), "utf-8")


@pytest.fixture(autouse=True)
def _wine_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_wine", lambda: Path("/usr/bin/wine"))


@not_on_windows("has no Wine: its set-up is locked as POSIX systems lock a file")
@pytest.mark.parametrize(
    "left",
    [
        nothing, a_file, an_empty_folder, half_made, a_folder_for_a_state, a_torn_state,
        bytes_of_something_else, a_state_that_is_a_list, parts_that_are_no_parts,
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_not_there(tmp_path: Path, left: Callable[[Path], None]) -> None:
    root = tmp_path / "wine"
    left(root)
    host = WineMachine(Layout(root))
    for ask in (host.ready, lambda: host.commands("")):
        with pytest.raises(MissingComponent) as missing:
            ask()
        assert missing.value.hint == SETUP
        assert str(root) in missing.value.reason


def test_a_whole_state_is_told(tmp_path: Path) -> None:
    write(tmp_path / "wine", WHOLE)
    assert WineMachine(Layout(tmp_path / "wine")).ready() == (
        f"the prefix, the python, in {tmp_path / 'wine'}"
    )
