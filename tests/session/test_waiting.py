"""Whoever waits is told for what: by commands and under pytest, with and without a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_winserve import Lab
from pytest_winserve.cli import cli
from pytest_winserve.system import waits
from pytest_winserve.system.locks import measuring, wait_text
from tests.kit.commands import PYTEST_OPTIONS, Start
from tests.kit.components import needs

pytestmark = [needs("minutes"), pytest.mark.usefixtures("own_locks")]

LOADS = "def test_it(winserve): winserve.load(users=1, count=3)"
QUICK = ("--users=1", "--count=3")


@pytest.fixture
def measured() -> Iterator[ExitStack]:
    """This process measures, until it is told to stop."""
    with ExitStack() as stack:
        stack.enter_context(measuring())
        yield stack


def holder() -> str:
    return f"(pid {os.getpid()}: "


@pytest.mark.parametrize(
    "command",
    [
        ("winserve", "load", "flask", *QUICK),
        ("winserve", "compare", "flask", "tornado", *QUICK, "--runs=2", "--warmup=0"),
        ("winserve", "recommend", "flask", "--users=1", "--duration=0.5", "--rounds=1", "--fresh"),
        ("winserve", "check", "flask", "--users=1", "--duration=0.5", "--slow=/sleep?seconds=0.4"),
        ("pytest", *PYTEST_OPTIONS, "--winserve-topology=flask"),
        ("pytest", *PYTEST_OPTIONS, "--winserve-topology=flask", "-s"),
        ("pytest", *PYTEST_OPTIONS, "--winserve-topology=flask", "-p", "no:terminal"),
        ("pytest", *PYTEST_OPTIONS, "--winserve-topology=flask", "-n", "1"),
    ],
    ids=["load", "compare", "recommend", "check", "pytest", "-s", "no:terminal", "xdist"],
)
def test_for_another_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start, measured: ExitStack,
    command: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("test_it.py").write_text(LOADS)
    run = start(*command)
    run.wait_for(holder())
    (line, *more) = [line for line in run.text().splitlines() if holder() in line]
    assert " waits for another measurement, " in line
    assert more == []
    measured.close()
    assert run.process.wait(120) == 0, run.text()


def test_for_another_measurement_than_that_of_a_url(start: Start, measured: ExitStack) -> None:
    with Lab().serve("flask") as site:
        run = start("winserve", "load", site.url, *QUICK)
        run.wait_for(holder())
        measured.close()
        assert run.process.wait(60) == 0, run.text()


def test_the_command_is_named_as_it_was_typed(tmp_path: Path) -> None:
    script = tmp_path / "measures.py"
    script.write_text(
        "import sys\nfrom pytest_winserve.system.locks import measuring\n"
        "with measuring():\n    print(flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, script, "--some=option"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        text = wait_text(3)
        process.communicate()
    assert re.search(r" 3 s \(pid \d+: measures\.py --some=option\)$", text)


def test_one_without_a_name(own_locks: Path, measured: ExitStack) -> None:
    """It may have been killed, or write its name just now."""
    assert holder() in wait_text(3)
    (note,) = own_locks.rglob("measuring.json")
    note.write_text('{"pid"')
    assert wait_text(3) == "waits for another measurement, 3 s"
    note.write_text(f'{{"pid": {os.getpid()}, "since": 7, "command": "another life"}}')
    assert wait_text(3) == "waits for another measurement, 3 s"
    measured.close()
    assert not note.exists()


def test_a_lab_without_an_observer_tells_it_on_the_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.0)
    with Lab().serve("flask"):
        pass
    told = capsys.readouterr().err.splitlines()
    assert "winserve: flask is brought up, 0 s up to now" in told
    assert "winserve: flask is stopped, 0 s up to now" in told


def test_a_command_that_looks_at_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "PATIENCE", 0.0)
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert "winserve: the next part is looked at, 0 s up to now" in done.stderr.splitlines()
    assert "the next part" not in done.stdout
