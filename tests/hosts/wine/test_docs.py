"""The commands of docs/windows.md show under Wine what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.kit.commands import winserve
from tests.kit.components import needs

pytestmark = needs("wine")

PAGE = Path(__file__).parents[3] / "docs" / "windows.md"
BLOCK = re.compile(r"^```sh wine\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    """Each command with the texts that its output has."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(BLOCK.findall(PAGE.read_text("utf-8"))).splitlines():
        if line.startswith("#> "):
            found[-1][1].append(line[3:])
        else:
            found.append((line, []))
    return found


def test_every_command_has_something_to_show() -> None:
    assert len(commands()) >= 7
    assert all(shown for _, shown in commands())


@pytest.mark.usefixtures("shared_wine")
@pytest.mark.parametrize(("command", "shown"), commands())
def test_a_command_shows_what_stands_there(command: str, shown: list[str], tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "winserve"
    done = winserve(*arguments, cwd=tmp_path)
    missing = [text for text in shown if text not in done.out + done.err]
    assert not missing, done.out[-6000:] + done.err
