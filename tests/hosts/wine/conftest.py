"""A Windows under Wine for each test, and what the test started in it, found again.

The user's environment is copied once for a run of tests: the template. What costs seconds and disk
is shared from there on: a copy is made of links to the files of the template. Each worker has one
copy, whose Wine is kept running, for the tests that leave it as it was (`shared_wine`); a test that
damages parts, or ends Wine, has one of its own (`own_wine`).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from pytest_winserve.hosts.wine.layout import Layout, find_wine
from pytest_winserve.settings import SETTINGS
from pytest_winserve.shipping.contents import PACKAGE, fingerprint
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.process_tree import alive, environment, kill
from tests.kit.commands import Done, Start, Started, winserve
from tests.kit.fixtures import run_folder
from tests.kit.traces import MARK, answered, told
from tests.kit.waiting import eventually

GONE_SECONDS = 15.0
"""Wine's services and its server end by themselves, one to three seconds after the last program;
the rest is for a machine that is busy."""
COMMAND_SECONDS = 240.0
PARTS = ("prefix", "python", "site", "package")
ALL = {*PARTS, "state.json", "lock"}
"""What lies beside each other in an environment."""
SERVICES = {
    "services.exe", "winedevice.exe", "plugplay.exe", "svchost.exe", "rpcss.exe", "explorer.exe",
}  # fmt: skip
"""What Wine starts by itself, once for all programs."""


@dataclass(slots=True)
class OwnWine:
    """A copy of the user's environment, and all processes that use it or were started here.

    `warm` when it is kept running for other tests: Wine's own programs belong to nobody then, nor
    do the programs and ports that were there `before`.
    """

    layout: Layout
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    warm: bool = False
    before: frozenset[psutil.Process] = frozenset()
    ports_before: frozenset[int] = frozenset()
    ports: set[int] = field(default_factory=set)

    def processes(self) -> list[psutil.Process]:
        """Those that live, on either side."""
        return [
            each for each in psutil.process_iter() if each not in self.before and self._mine(each)
        ]

    def _mine(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and alive(process):
                name = process.name()
                if self.warm and (name in SERVICES or name.startswith("wineserver")):
                    return False
                given = environment(process)
                prefix = given.get("WINEPREFIX", "")
                marked = given.get(MARK) == self.mark
                return marked or Path(prefix).is_relative_to(self.layout.root)
        return False

    def windows(self, *words: str) -> list[psutil.Process]:
        """The living Windows processes whose command lines have one of the words, oldest first."""
        known, found = {*words}, []
        for process in self.processes():
            with suppress(psutil.Error):
                if process.name().endswith(".exe") and not known.isdisjoint(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def backends(self) -> list[psutil.Process]:
        return self.windows("pytest_winserve.backend")

    def gateway(self) -> psutil.Process:
        (process,) = self.windows("import sys;exec(eval(sys.stdin.readline()))")
        return process

    def listening(self) -> set[int]:
        """The ports on which they listen now; Wine's server holds all sockets."""
        found: set[int] = set()
        for process in {*self.processes(), *self.layout.servers()}:
            with suppress(psutil.Error):
                found |= {
                    c.laddr.port
                    for c in process.net_connections("tcp")
                    if c.status == psutil.CONN_LISTEN
                }
        return found - self.ports_before

    def look(self) -> set[int]:
        """Remember the ports on which they listen now; returns all that were ever seen."""
        self.ports |= self.listening()
        return self.ports

    def folders(self) -> list[Path]:
        """The labs' temporary folders over there."""
        found = self.layout.prefix.glob("drive_c/users/*/**/Temp/winserve-*")
        return [path for path in found if path.name != shared_folder().name]

    def gone(self) -> None:
        """Wait until no process and no port is left."""
        eventually(lambda: not self.left(), seconds=GONE_SECONDS, otherwise=self.left)

    def left(self) -> list[str]:
        """The processes and ports that are left."""
        return told(self.processes(), {*filter(answered, self.ports), *self.listening()})

    def rewrite(self, path: Path, data: bytes) -> None:
        """Give a file of the copy another content; the old one may be shared with other copies."""
        assert path.is_relative_to(self.layout.root)
        path.unlink(missing_ok=True)
        path.write_bytes(data)

    def names(self) -> set[str]:
        """What lies beside each other in the environment."""
        return {path.name for path in self.layout.root.iterdir()}


# -- the template --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def template(wine: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """The user's environment, copied and brought to the package under test: by the first worker of
    the run that asks for it, for all of them. The last one removes it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    folder = run_folder(tmp_path_factory) / "wine-template"
    folder.mkdir(exist_ok=True)
    made, user = folder / "made.json", folder / f"user-{worker}"
    layout = Layout(folder / "cache" / "pytest-winserve" / "wine")
    with FileLock(folder / "template.lock"):
        if not made.exists():
            _make_template(wine, layout)
            made.write_text(json.dumps(_written(layout)), "utf-8")
        user.touch()
    try:
        yield layout
        # What is linked is one file for all: nobody may have written into it.
        assert _written(layout) == json.loads(made.read_text("utf-8"))
    finally:
        with FileLock(folder / "template.lock"):
            user.unlink()
            if not any(folder.glob("user-*")):
                made.unlink()
                shutil.rmtree(layout.root)


def _make_template(users: Layout, layout: Layout) -> None:
    shutil.rmtree(layout.root, ignore_errors=True)  # of a worker that did not come to its end
    try:
        _copy_of_users(users, layout)
        done = _set_up(layout)
        if done.status != 0:
            # Something in it that setup does not look at. Whether setup works is told by this:
            shutil.rmtree(layout.root)
            done = _set_up(layout)
        assert done.status == 0, done.err
        # What it imports is compiled now, and not in each copy.
        done = winserve(
            "load", "flask", "--host", "wine", "--count", "1", XDG_CACHE_HOME=_cache(layout)
        )
        assert done.status == 0, done.err
        OwnWine(layout).gone()
    except BaseException:
        kill(OwnWine(layout).processes())
        shutil.rmtree(layout.root)
        raise


def _copy_of_users(users: Layout, layout: Layout) -> None:
    """The parts without what the user has chosen for apps of their own; setup makes what is not
    there, or not as pinned."""
    layout.root.mkdir(parents=True)
    with users.held(alone=False):
        state = users.read_state()
        for name in PARTS:
            part = users.root / name
            try:
                if part.is_dir() and not part.is_symlink():
                    shutil.copytree(part, layout.root / name, symlinks=True, ignore=_passing)
                    continue
            except OSError:  # something foreign in it
                shutil.rmtree(layout.root / name)
            state.pop(name, None)
    state.pop("python_dir", None)
    chosen = state.pop("packages", [])
    with suppress(LookupError, TypeError, ValueError):
        # They lie beside the others in `site`, and its key names them last.
        version, nginx, wanted = json.loads(state["site"]["key"])
        wanted = wanted[: len(wanted) - len(chosen)]
        state["site"]["key"] = json.dumps([version, nginx, wanted])
    layout.state.write_text(json.dumps(state), "utf-8")


def _set_up(layout: Layout) -> Done:
    return winserve("setup", "wine", PIP_CACHE_DIR=pip_cache(), XDG_CACHE_HOME=_cache(layout))


def _cache(layout: Layout) -> str:
    """The cache folder in which an environment is."""
    return str(layout.root.parents[1])


def _passing(folder: str, names: list[str]) -> set[str]:
    """What other runs may remove while the folder is copied."""
    return {
        name for name in names if Path(folder).name == "Temp" or name.endswith((".tmp", ".new"))
    }


def _changing(path: str) -> bool:
    """Wine changes its registry and its users' files, tests change the package. Who locks a file
    locks all links to it."""
    folders = ("/prefix/drive_c/users/", "/package/")
    return path.endswith((".reg", ".json", "/lock")) or any(folder in path for folder in folders)


def _link_or_copy(source: str, target: str) -> None:
    if _changing(source):
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _copy_of_template(template: Layout, layout: Layout) -> None:
    shutil.copytree(template.root, layout.root, symlinks=True, copy_function=_link_or_copy)


def _linked(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """The files that copies have links to. What Python compiles is another one in each."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _linked(entry.path)
            elif entry.is_file(follow_symlinks=False) and not _changing(entry.path):
                yield entry


def _written(layout: Layout) -> dict[str, list[int]]:
    """How long the linked files are, and when they were written."""
    found = {}
    for entry in _linked(layout.root):
        status = entry.stat(follow_symlinks=False)
        found[entry.path] = [status.st_size, status.st_mtime_ns]
    return found


# -- the copies ----------------------------------------------------------------------------------


class WorkersWine:
    """The one copy that the tests of a worker share."""

    def __init__(self, template: Layout, cache: Path) -> None:
        self.cache = cache
        self.layout = Layout(cache / "pytest-winserve" / "wine")
        self._template = template
        self._keeper: subprocess.Popen[bytes] | None = None
        self._make()

    def _make(self) -> None:
        _copy_of_template(self._template, self.layout)
        self._files = self._links()

    def warm(self) -> None:
        """Have a program run in it, so that no test waits for Wine's services to start and end."""
        if self._keeper is not None:
            return
        code = "print('up', flush=True); input()"
        self._keeper = subprocess.Popen(
            [*self.layout.command(find_wine()), "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.cache,
            env={name: value for name, value in os.environ.items() if name != MARK},
        )
        assert self._keeper.stdout is not None
        said = b""
        while line := self._keeper.stdout.readline():
            said += line
            if line.strip() == b"up":
                return
        pytest.fail(f"no program starts in {self.layout.root}: {said.decode('utf-8', 'replace')}")

    def changed(self) -> list[str]:
        """What is not as it was made."""
        found = [path.name for path in self.layout.root.iterdir() if path.name not in ALL]
        if self._keeper is not None and self._keeper.poll() is not None:
            found.append("Wine has ended")
        if self.layout.read_state() != self._template.read_state():
            found.append(self.layout.state.name)
        packages = (each.package / PACKAGE.name for each in (self.layout, self._template))
        if len(set(map(fingerprint, packages))) != 1:
            found.append(self.layout.package.name)
        return found + sorted(path for path, _ in self._files - self._links())

    def _links(self) -> set[tuple[str, int]]:
        """The linked files, and which they are; those that are written anew are others."""
        return {(entry.path, entry.inode()) for entry in _linked(self.layout.root)}

    def cool(self) -> None:
        """End what keeps it running; Wine ends a moment later."""
        if self._keeper is not None:
            self._keeper.communicate(timeout=COMMAND_SECONDS)  # closes its input
            self._keeper = None

    def renew(self) -> None:
        """Throw it away, with all that runs in it, and make it again."""
        self.remove()
        self._make()

    def remove(self) -> None:
        kill(OwnWine(self.layout).processes())
        self.cool()
        shutil.rmtree(self.layout.root)


@pytest.fixture(scope="session")
def workers_wine(
    template: Layout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkersWine]:
    """The copy that the tests of this worker share; at its end nothing runs in it any more."""
    workers = WorkersWine(template, tmp_path_factory.mktemp("wine"))
    try:
        yield workers
        workers.cool()
        OwnWine(workers.layout).gone()
    finally:
        workers.remove()


@pytest.fixture
def one_processor() -> Iterator[None]:
    """What the test starts runs on one processor, which is the same for all tests of a worker.

    Each call of a program under Wine goes to Wine's server and back. Where the two wake each other
    up across processors, everything takes more than twice as long.
    """
    if sys.platform != "linux":
        yield
        return
    processors = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(processors)[worker % len(processors)]})
    yield
    os.sched_setaffinity(0, processors)


@pytest.fixture
def mark(one_processor: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Gives the test a temporary folder, a current folder and settings of its own; returns what
    marks the processes that it starts."""
    if sys.platform == "win32":
        pytest.skip("platform: this is Windows itself")
    mark = secrets.token_hex(8)
    temp = tmp_path / "temp"
    temp.mkdir()
    # Loads wait for those of other tests.
    (temp / shared_folder().name).symlink_to(shared_folder(), True)
    monkeypatch.setenv("PIP_CACHE_DIR", pip_cache())
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(temp))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    monkeypatch.setenv(MARK, mark)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return mark


@pytest.fixture
def shared_wine(
    workers_wine: WorkersWine, mark: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnWine]:
    """The worker's environment, for a test that leaves it as it was; nothing of the test runs or
    listens there after it."""
    workers_wine.warm()
    layout = workers_wine.layout
    there = OwnWine(layout, mark, warm=True)
    own = OwnWine(
        layout, mark, warm=True, before=frozenset(there.processes()),
        ports_before=frozenset(there.listening()),
    )  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(workers_wine.cache))
    yield own
    try:
        own.gone()
        assert workers_wine.changed() == []
    except BaseException:
        kill(own.processes())
        workers_wine.renew()
        raise


@pytest.fixture
def own_wine(
    template: Layout, mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OwnWine]:
    """A complete environment that the test may damage; nothing of it runs after the test."""
    own = OwnWine(Layout(tmp_path / "cache" / "pytest-winserve" / "wine"), mark)
    _copy_of_template(template, own.layout)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield own
    try:
        own.gone()
    finally:
        kill(own.processes())
        shutil.rmtree(own.layout.root)


@pytest.fixture
def start(mark: str, start: Start) -> Start:
    """What is started carries the test's mark."""
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
