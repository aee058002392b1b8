"""Runs over there before this package does, in any Python 3.7 or later: execnet sends its source.

A call is `(name, arguments)`, its answer `(value, "")` or `(None, what went wrong)`. What is
brought lies in a folder of its own, in parts whose names say what they are made of: a part is there
or not, and never changes.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

UNUSED_SECONDS = 7 * 24 * 3600
"""A part that was not used for so long goes when another one of its kind comes."""


class Arrival:
    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._base = base_folder()

    def look(self) -> dict[str, Any]:
        """What this Python is: the variables of dependency markers, and what wheels are for."""
        version = platform.python_version()
        return {
            "base": str(self._base),
            "platform": sysconfig.get_platform(),
            "libc": list(platform.libc_ver()),
            "markers": {
                "implementation_name": sys.implementation.name,
                "implementation_version": version,
                "os_name": os.name,
                "platform_machine": platform.machine(),
                "platform_python_implementation": platform.python_implementation(),
                "platform_release": platform.release(),
                "platform_system": platform.system(),
                "platform_version": platform.version(),
                "python_full_version": version,
                "python_version": "{}.{}".format(*sys.version_info[:2]),
                "sys_platform": sys.platform,
            },
        }

    def enter(self, folder: str) -> str:
        """Make a folder the current one; the one that it is then."""
        if folder:
            os.chdir(str(Path(folder).expanduser()))
        return str(Path.cwd())

    def has(self, name: str) -> bool:
        """Whether a part is there."""
        part = self._base / name
        if not part.is_dir():
            return False
        os.utime(str(part))
        return True

    def part(self, name: str) -> str:
        """The folder of a part that is there."""
        return str(self._base / name)

    def take(self, name: str) -> None:
        """Make a part of the zip file that follows, in pieces, up to an empty one."""
        kind = name.partition("-")[0]
        # Every piece is taken off the channel, whatever goes wrong.
        pieces = iter(self._channel.receive, b"")
        try:
            self._base.mkdir(parents=True, exist_ok=True)
            for old in self._base.glob(kind + "-*"):
                if time.time() - old.stat().st_mtime > UNUSED_SECONDS:
                    shutil.rmtree(str(old))
            with tempfile.TemporaryDirectory(dir=str(self._base)) as temp:
                archive, new = Path(temp) / "zip", Path(temp) / "new"
                with archive.open("wb") as file:
                    for piece in pieces:
                        file.write(piece)
                unpack(archive, new)
                if not self.has(name):  # somebody else may have been faster
                    new.rename(self._base / name)
        finally:
            for _ in pieces:
                pass

    def use(self, *names: str) -> None:
        """Have this Python and those that it starts find the packages of these parts."""
        found = [str(self._base / name) for name in names]
        sys.path[:0] = found
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(found + ([others] if others else []))

    def finds(self, module: str) -> bool:
        """Whether a package is installed here."""
        import importlib.util

        return importlib.util.find_spec(module) is not None


def base_folder() -> Path:
    """The folder of what is brought, in the user's cache folder: the one of `system.cache`, which
    is not there yet."""
    cache = os.environ.get("XDG_CACHE_HOME") or usual_caches(platform.system())
    return Path(cache).absolute() / "pytest-winserve" / "host"


def usual_caches(system: str) -> str:
    """Where a system has the caches of a user."""
    if system == "Windows":
        return os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    return str(Path.home() / ("Library/Caches" if system == "Darwin" else ".cache"))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file, with the files' permissions."""
    with zipfile.ZipFile(str(archive)) as packed:
        for info in packed.infolist():
            place = packed.extract(info, str(folder))
            mode = info.external_attr >> 16
            if mode and not info.is_dir():
                Path(place).chmod(mode & 0o777)


def serve(channel: Any) -> None:
    """Answer the calls of an execnet channel until it closes."""
    arrival = Arrival(channel)
    for name, arguments in channel:
        try:
            channel.send((getattr(arrival, name)(*arguments), ""))
        except (OSError, zipfile.BadZipFile) as error:
            channel.send((None, str(error)))


if __name__ == "__channelexec__":
    serve(channel)  # type: ignore[name-defined] # noqa: F821 - execnet defines it
