"""The folders of labs that were killed: somebody removes them, and nobody removes others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_winserve.system import lab_folder
from pytest_winserve.system.lab_folder import HOLD, LabFolder
from tests.kit.commands import Start
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

posix = not_on_windows("Windows has no guard: the next lab removes the folder")

HOLDS = """
import sys
from pytest_winserve.system.lab_folder import LabFolder
folder = LabFolder.make("held-")
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(*before: str) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """The folder of a lab that lives in another process, which `before` starts."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert path.is_dir(), path
        yield path, process  # it ends with its input, and leaves the folder


def dead(name: str = "") -> Path:
    """The folder of a lab that was killed."""
    with holder() as (path, process):
        process.kill()
        process.wait()
    (path / "backend-0.log").write_text("a word")
    return path.rename(path.with_name(name)) if name else path


# -- a lab that is killed ------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("topology", ["flask", "nginx2"])
def test_the_guard_removes_it(traces: Traces, start: Start, topology: str) -> None:
    run = start("winserve", "up", topology)
    run.wait_for("(Ctrl-C stops it)")
    assert len(traces.folders()) == 1
    run.process.kill()
    run.process.wait()
    traces.gone()  # the guard, too


@posix
@needs("tsung")
def test_the_guard_removes_that_of_a_load_engine(traces: Traces, start: Start) -> None:
    run = start("winserve", "load", "flask", "--engine=tsung", "--users=1", "--duration=600")
    run.until(lambda: any(traces.temp.glob("winserve-tsung-*/*/tsung.log")), "no load")
    assert len(traces.folders()) == 2
    run.process.kill()
    run.process.wait()
    traces.gone()


@posix
def test_the_next_lab_removes_it_where_the_guard_was_killed_too(
    traces: Traces, start: Start, serve: Serve
) -> None:
    run = start("winserve", "up", "flask")
    run.wait_for("(Ctrl-C stops it)")
    traces.killed = True
    everything = traces.processes()
    assert sum("pytest_winserve.system.guard" in line for line in traces.lines()) == 1
    for process in everything:
        process.kill()
    run.process.wait()
    traces.gone()
    (left,) = traces.folders()
    with serve("flask"):
        assert len(traces.folders()) == 1
        assert left not in traces.folders()
    traces.killed = False


# -- which are removed ---------------------------------------------------------------------------


def test_that_of_a_dead_lab_is_removed_by_the_next() -> None:
    path = dead()
    with holder() as (other, _):
        assert not path.exists()
        assert other.is_dir()
    LabFolder.make().remove()
    assert not other.exists()


def test_that_of_a_living_lab_is_not() -> None:
    mine = LabFolder.make()
    with holder() as (path, _):
        LabFolder.make().remove()
        assert (path / HOLD).is_file()
    assert (mine.path / HOLD).is_file()
    mine.remove()
    assert not mine.path.exists()
    LabFolder.make().remove()  # with that of the other, which is dead now


@pytest.mark.skipif(sys.platform != "linux", reason="platform: namespaces are Linux's")
def test_that_of_a_lab_whose_processes_are_not_seen_here_is_not() -> None:
    outside = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*outside, "true"], check=False).returncode:
        pytest.skip("platform: no namespace of processes may be made here")
    with holder(*outside) as (path, _):
        LabFolder.make().remove()
        assert (path / HOLD).is_file()
        mine = LabFolder.make()
        with holder(*outside):
            assert (mine.path / HOLD).is_file()
        mine.remove()
    LabFolder.make().remove()


@pytest.mark.parametrize(
    "content",
    [b"", b"another machine 0\n", b"a word that is longer than any mark of a lab" * 9, None],
    ids=["no mark yet", "another machine", "another file", "no such file"],
)
def test_what_is_not_marked_as_this_users_on_this_machine_is_not(content: bytes | None) -> None:
    path = dead()
    (path / HOLD).unlink()
    if content is not None:
        (path / HOLD).write_bytes(content)
    LabFolder.make().remove()
    assert (path / "backend-0.log").read_text() == "a word"
    shutil.rmtree(path)


def test_what_has_another_name_is_not(traces: Traces) -> None:
    path = dead("other-winserve-1")
    LabFolder.make().remove()
    assert (path / "backend-0.log").is_file()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0,
    reason="platform: only root gives a folder to another user",
)
def test_that_of_another_user_is_not() -> None:
    path = dead()
    os.chown(path, 12345, -1)
    LabFolder.make().remove()
    assert (path / "backend-0.log").is_file()
    shutil.rmtree(path)


@posix
def test_a_link_is_not_followed(tmp_path: Path, traces: Traces) -> None:
    path = dead("other")
    link = traces.temp / "winserve-link"
    link.symlink_to(path, target_is_directory=True)
    LabFolder.make().remove()
    assert (path / "backend-0.log").is_file()
    assert link.is_symlink()
    link.unlink()


@posix
def test_nor_is_one_in_the_place_of_the_file_that_is_locked() -> None:
    other, path = dead("other"), dead()
    (path / HOLD).unlink()
    (path / HOLD).symlink_to(other / HOLD)
    LabFolder.make().remove()
    assert (path / "backend-0.log").is_file()
    shutil.rmtree(path)


@posix
def test_nor_is_one_in_a_folder_that_is_removed(tmp_path: Path) -> None:
    path = dead()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (path / "link").symlink_to(precious, target_is_directory=True)
    LabFolder.make().remove()
    assert not path.exists()
    assert (precious / "file").exists()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="platform: root may remove everything"
)
def test_what_cannot_be_removed_keeps_nobody_from_working() -> None:
    path = dead()
    (path / "folder").mkdir()
    (path / "folder" / "file").touch()
    (path / "folder").chmod(0o500)
    LabFolder.make().remove()
    (path / "folder").chmod(0o700)
    shutil.rmtree(path)


@posix
def test_without_locks_it_is_nobody_elses_to_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse)
        folder = LabFolder.make()
    LabFolder.make().remove()
    assert (folder.path / HOLD).read_bytes() == b""
    folder.remove()
    assert not folder.path.exists()


@pytest.mark.parametrize("step", ["lock", "mark"])
def test_ctrl_c_while_it_is_made_leaves_nothing(
    step: str, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lab_folder, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        LabFolder.make()
    assert traces.folders() == []


def test_a_mark_is_of_the_machine_and_the_user() -> None:
    folder = LabFolder.make()
    assert (folder.path / HOLD).read_bytes() == lab_folder.mark()
    folder.remove()
    assert lab_folder.mark().endswith(b"\n")
    assert len(lab_folder.mark().split()) == 2


TAKES_TURNS = """
import json
from pytest_winserve.system.lab_folder import HOLD
from pytest_winserve.system.lab_folder import LabFolder
lost = []
for _ in range(200):
    folder = LabFolder.make()
    (folder.path / "file").touch()
    if not (folder.path / HOLD).is_file():
        lost.append(str(folder.path))
    folder.remove()
    if folder.path.exists():
        lost.append(f"left: {folder.path}")
print(json.dumps(lost))
"""


def test_labs_that_start_and_end_at_the_same_time_leave_each_others() -> None:
    for path in [dead(f"other-{number}") for number in range(5)]:
        path.rename(path.with_name(f"winserve-{path.name}"))
    running = [
        subprocess.Popen([sys.executable, "-c", TAKES_TURNS], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [json.loads(process.communicate()[0]) for process in running] == [[]] * 4
    assert list(Path(tempfile.gettempdir()).glob("*other-*")) == []
