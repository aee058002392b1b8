"""Where there is no Wine: how its server is known, and that a lab ends nothing of other labs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_winserve.hosts.wine import layout as wine_layout
from pytest_winserve.hosts.wine.layout import Layout
from pytest_winserve.hosts.wine.machine import WineMachine
from pytest_winserve.system.process_tree import alive
from tests.kit.platforms import calls_it_a_zombie, not_on_windows
from tests.kit.programs import without_first_thread
from tests.kit.waiting import eventually

pytestmark = not_on_windows("the host wine is for Linux")

WAITS = "#!/bin/sh\nread word\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "wine")
    made.prefix.mkdir(parents=True)
    return made


@contextmanager
def server_of(prefix: Path, cwd: Path) -> Iterator[int]:
    """The pid of a program with the name of Wine's server, its lock, and this current folder."""
    status = prefix.stat()
    folder = prefix.parent / f"server-{status.st_dev:x}-{status.st_ino:x}"
    folder.mkdir()
    program = folder / "wineserver64"
    program.write_text(WAITS)
    program.chmod(0o755)
    with (
        (folder / "lock").open("w") as lock,
        subprocess.Popen([program], stdin=subprocess.PIPE, stdout=lock, cwd=cwd) as process,
    ):
        yield process.pid


@pytest.mark.parametrize("where", ["prefix", "root"])
def test_the_server_is_known_wherever_it_works(layout: Layout, where: str) -> None:
    assert layout.servers() == []
    with server_of(layout.prefix, getattr(layout, where)) as pid:
        (server,) = eventually(layout.servers)
        assert server.pid == pid
        other = Layout(layout.root / "other")
        other.prefix.mkdir(parents=True)
        assert other.servers() == []
        assert WineMachine(layout).gone() is None
    assert WineMachine(layout).gone() == "Wine's server has ended"


@contextmanager
def user_of(prefix: Path) -> Iterator[psutil.Process]:
    """A program of a prefix; it has no server."""
    with subprocess.Popen(
        ["sh", "-c", "read word"], stdin=subprocess.PIPE, env={"WINEPREFIX": str(prefix)}
    ) as process:
        program = psutil.Process(process.pid)
        # When Popen returns, Linux may not show a program's environment yet.
        eventually(program.environ)
        yield program


@calls_it_a_zombie
def test_a_program_of_which_the_first_thread_has_ended_is_ended_too(layout: Layout) -> None:
    # As Windows programs do whose server was killed: their threads wait for it, or have ended.
    with without_first_thread({"WINEPREFIX": str(layout.prefix)}) as program:
        layout.end_users(layout.prefix)
        assert not alive(program)


def test_a_lab_that_ends_leaves_the_programs_of_one_that_starts(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a program takes longer to come to a server of its own.
    monkeypatch.setattr(wine_layout, "YOUNG_SECONDS", 0.0)
    with user_of(layout.prefix) as program:
        with layout.held(alone=False):  # by the lab that starts
            WineMachine(layout).close()
            assert alive(program)
        WineMachine(layout).close()
        assert not alive(program)
    with layout.held(alone=True):  # nobody holds it any more
        pass
