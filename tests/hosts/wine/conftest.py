"""A Windows under Wine of each test's own, and what the test started in it, found again."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pytest_winserve.hosts.wine.layout import Layout
from pytest_winserve.session.settings import SETTINGS
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.process_tree import describe, kill
from tests.kit.commands import Start, Started, winserve
from tests.kit.traces import MARK, answered

SUITE = Path(__file__).parents[1]
GONE_SECONDS = 15.0
"""Wine's services and its server end by themselves, one to three seconds after the last program;
the rest is for a machine that is busy."""
COMMAND_SECONDS = 240.0


@dataclass(slots=True)
class OwnWine:
    """A copy of the user's environment, and all processes that use it or were started here."""

    layout: Layout
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    ports: set[int] = field(default_factory=set)

    def processes(self) -> list[psutil.Process]:
        """Those that live, on either side."""
        return [each for each in psutil.process_iter() if self._mine(each)]

    def _mine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                environment = process.environ()
                prefix = environment.get("WINEPREFIX", "")
                marked = environment.get(MARK) == self.mark
                return marked or Path(prefix).is_relative_to(self.layout.root)
        return False

    def windows(self, word: str) -> list[psutil.Process]:
        """The living Windows processes whose command lines have `word`, oldest first."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                if process.name().endswith(".exe") and word in process.cmdline():
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def backends(self) -> list[psutil.Process]:
        return self.windows("pytest_winserve.backend")

    def gateway(self) -> psutil.Process:
        (process,) = self.windows("import sys;exec(eval(sys.stdin.readline()))")
        return process

    def look(self) -> set[int]:
        """Remember the ports on which they listen now; Wine's server holds all sockets."""
        for process in self.processes():
            with suppress(psutil.Error):
                self.ports |= {
                    c.laddr.port
                    for c in process.net_connections("tcp")
                    if c.status == psutil.CONN_LISTEN
                }
        return self.ports

    def folders(self) -> list[Path]:
        """The labs' temporary folders over there."""
        found = self.layout.prefix.glob("drive_c/users/*/**/Temp/winserve-*")
        return [path for path in found if path.name != shared_folder().name]

    def gone(self) -> None:
        """Wait until no process and no port is left."""
        deadline = time.perf_counter() + GONE_SECONDS
        while True:
            processes = self.processes()
            ports = sorted(filter(answered, self.ports))
            if not processes and not ports:
                return
            if time.perf_counter() > deadline:
                names = [describe(process) for process in processes]
                pytest.fail(f"left after {GONE_SECONDS:g} s: {names}, ports {ports}")
            time.sleep(0.05)

    def rewrite(self, path: Path, data: bytes) -> None:
        """Give a file of the copy another content; the old one may be shared with other copies."""
        assert path.is_relative_to(self.layout.root)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def names(self) -> set[str]:
        """What lies beside each other in the environment."""
        return {path.name for path in self.layout.root.iterdir()}


ALL = {"prefix", "python", "site", "package", "state.json", "lock"}


@pytest.fixture(scope="session")
def template(wine: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """The user's environment, copied once and brought to the package under test."""
    users = wine
    cache = tmp_path_factory.mktemp("wine")
    layout = Layout(cache / "pytest-winserve" / "wine")
    # Without what the user has chosen for apps of their own: setup makes those parts as pinned.
    with users.held(alone=False):
        shutil.copytree(users.root, layout.root, symlinks=True, ignore=_passing)
    state = layout.read_state()
    for choice in ("packages", "python_dir"):
        if state.pop(choice, None) and choice == "packages":
            state.pop("site", None)
    layout.state.write_text(json.dumps(state), "utf-8")
    try:
        done = winserve("setup", "wine", XDG_CACHE_HOME=str(cache), PIP_CACHE_DIR=pip_cache())
        assert done.status == 0, done.err
        OwnWine(layout).gone()
        yield layout
    finally:
        kill(OwnWine(layout).processes())
        shutil.rmtree(cache)


@pytest.fixture
def own_wine(
    template: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnWine]:
    """A complete environment that the test may damage; nothing of it runs after the test."""
    cache = pip_cache()
    own = OwnWine(Layout(tmp_path / "cache" / "pytest-winserve" / "wine"))
    shutil.copytree(template.root, own.layout.root, symlinks=True, copy_function=_link_or_copy)
    temp = tmp_path / "temp"
    temp.mkdir()
    # Loads wait for those of other tests.
    (temp / shared_folder().name).symlink_to(shared_folder(), True)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(temp))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CACHE_DIR", cache)
    monkeypatch.setenv(MARK, own.mark)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    yield own
    try:
        own.gone()
    finally:
        kill(own.processes())
        shutil.rmtree(own.layout.root)


@pytest.fixture
def start(own_wine: OwnWine, start: Start) -> Start:
    """What is started ends before its Windows is looked at."""
    return start


def over_there(own_wine: OwnWine, code: str) -> str:
    """What a program prints in the Windows Python."""
    command = own_wine.layout.command(Path(shutil.which("wine") or ""))
    done = subprocess.run(
        [*command, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=COMMAND_SECONDS, check=False,
    )  # fmt: skip
    return (done.stdout + done.stderr).strip()


def ended(run: Started) -> int:
    """The exit status of a run that comes to its end."""
    try:
        return run.process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail(f"still runs: {run.text()}")


def pip_cache() -> str:
    """Where pip keeps what it downloads, wherever the test lets the cache folder be."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return os.environ.get("PIP_CACHE_DIR") or str(Path(cache) / "pip")


def _passing(folder: str, names: list[str]) -> set[str]:
    """What other runs may remove while the folder is copied."""
    return {
        name for name in names if Path(folder).name == "Temp" or name.endswith((".tmp", ".new"))
    }


def _link_or_copy(source: str, target: str) -> None:
    """Wine changes its registry and its users' files, tests change the package."""
    changing = ("/prefix/drive_c/users/", "/package/")
    if source.endswith((".reg", ".json")) or any(part in source for part in changing):
        shutil.copy2(source, target)
    else:
        os.link(source, target)
