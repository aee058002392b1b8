"""Where the parts of the Windows under Wine lie, and how a Windows program is run with them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import MissingComponent
from pytest_winserve.system.cache import cache_folder

if TYPE_CHECKING:
    import psutil

GET_WINE = (
    "sudo apt-get install wine   (Debian, Ubuntu; elsewhere the 64-bit package wine of the system)"
)
SETUP = "winserve setup wine"
DROPPED_FAMILIES = ("PYTHON", "VIRTUAL_ENV", "WINE")
DROPPED = ("DISPLAY", "WAYLAND_DISPLAY", "TMP", "TEMP", "TMPDIR")
"""Variables that mean nothing to a Windows program, or would open windows on a desktop."""
CHOICES: dict[str, type] = {"packages": list, "python_dir": str, "requirements": list}
"""What the user has chosen, in the state beside the parts."""
YOUNG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of all parts: the prefix with its registry and drives, Windows' Python, the
    packages installed for it, and this package."""

    root: Path

    @property
    def prefix(self) -> Path:
        return self.root / "prefix"

    @property
    def python(self) -> Path:
        return self.root / "python"

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def package(self) -> Path:
        return self.root / "package"

    @property
    def executable(self) -> Path:
        return self.python / "python.exe"

    @property
    def state(self) -> Path:
        """What was made, by the name of the part; a part is there when it stands in it."""
        return self.root / "state.json"

    def read_state(self) -> dict[str, Any]:
        try:
            state = json.loads(self.state.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return {
            name: value
            for name, value in (state.items() if isinstance(state, dict) else ())
            if _is_noted(name, value)
        }

    def environment(self, prefix: Path | None = None) -> dict[str, str]:
        """What a program under Wine is given, beside what this process has without `dropped`."""
        return {
            "WINEPREFIX": str(prefix or self.prefix),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            # No windows that ask whether to install Mono and Gecko. Since Wine 10, the driver of
            # Wayland complains on standard error where there is no desktop.
            "WINEDLLOVERRIDES": "mscoree=;mshtml=;winewayland.drv=",
            "PYTHONPATH": ";".join(windows_path(path) for path in (self.package, self.site)),
        }

    def full_environment(self, prefix: Path | None = None) -> dict[str, str]:
        """All that a program under Wine has: what this process has without `dropped`, and that."""
        gone = dropped(os.environ)
        return {k: v for k, v in os.environ.items() if k not in gone} | self.environment(prefix)

    def command(self, wine: Path) -> list[str]:
        """The command that runs Windows' Python, whatever this process has in its environment."""
        unset = [word for name in dropped(os.environ) for word in ("-u", name)]
        given = [f"{name}={value}" for name, value in self.environment().items()]
        return ["env", *unset, *given, str(wine), str(self.executable)]

    def servers(self) -> list[psutil.Process]:
        """Wine's server for the prefix, if it runs: one, which holds the lock in a folder that is
        named by the device and inode of the prefix (Wine's server/request.c).

        That is its current folder as well, but not always: it goes to the prefix when it reads or
        writes the registry, and elsewhere when it opens files.
        """
        import psutil

        try:
            status = self.prefix.stat()
        except OSError:
            return []
        folder = f"server-{status.st_dev:x}-{status.st_ino:x}"
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.name().startswith("wineserver") and (
                    Path(process.cwd()).name == folder  # cheap to see
                    or any(Path(file.path).parent.name == folder for file in process.open_files())
                ):
                    found.append(process)
        return found

    def end_orphans(self) -> None:
        """End programs whose Wine server was killed: they hang, and their job objects are gone.

        For who holds the parts alone: programs of a lab that starts have no server yet. Those that
        have just begun may be the user's own.
        """
        if not self.servers():
            self.end_users(self.prefix, YOUNG_SECONDS)

    def end_users(self, prefix: Path, seconds: float = 0.0) -> None:
        """End the programs of a prefix that have run for so many seconds."""
        import psutil

        from pytest_winserve.system.process_tree import environment, kill, of_now

        users = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if environment(process).get("WINEPREFIX") == str(prefix):
                    user = of_now(process)
                    if time.time() - user.create_time() >= seconds:
                        users.append(user)
        kill(users)

    @contextmanager
    def held(
        self, *, alone: bool, wait: bool = True, on_wait: Callable[[], None] | None = None
    ) -> Iterator[int]:
        """Nobody changes the parts while somebody else uses them: many may use them at a time,
        and who is to change them must be `alone`. The system frees what a killed process held,
        when nothing runs any more that it shared the file with, whose descriptor is given.

        Raises BlockingIOError when others hold it and this one is not to `wait`.
        """
        if sys.platform == "win32":
            raise AssertionError("Wine is for POSIX systems")
        import fcntl

        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("a") as file:
            how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise
                if on_wait is not None:
                    on_wait()
                fcntl.flock(file, how)
            yield file.fileno()


def _is_noted(name: str, value: Any) -> bool:
    """Whether an entry of the state is one that setup writes."""
    if name in CHOICES:
        return isinstance(value, CHOICES[name])
    return (
        isinstance(value, dict)
        and isinstance(value.get("key"), str)
        and isinstance(value.get("files"), dict)
    )


def default_layout() -> Layout:
    """In the user's cache folder."""
    return Layout(cache_folder() / "wine")


def find_wine() -> Path:
    """The program `wine`. Raises MissingComponent."""
    found = shutil.which("wine")
    if found is None:
        raise MissingComponent("wine", "there is no program `wine` on the PATH", GET_WINE)
    return Path(found)


def dropped(environment: Mapping[str, str]) -> list[str]:
    """The variables of `environment` that a program under Wine is not given."""
    return [name for name in environment if name.startswith(DROPPED_FAMILIES) or name in DROPPED]


def windows_path(path: Path) -> str:
    """What a path of this machine is called under Wine, where drive Z: is the root."""
    return "Z:" + str(path).replace("/", "\\")
