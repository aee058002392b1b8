"""The Python of an app's own virtual environment: which it is, and what is installed there.

Nothing is ever installed into it, and no file is put there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.errors import UsageError

OLDEST = (3, 10)
LOOK_SECONDS = 60.0
SAID = 300
"""Characters of what it says that go into an error: the last ones."""

# Understood by Python 2 as well, so that one that is too old can be told its version.
LOOK = """
import json, sys
told = {"version": list(sys.version_info[:3]), "prefix": sys.prefix}
if sys.version_info[:2] >= (3, 10):
    import importlib.metadata, platform, re, sysconfig
    found = {}
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(re.sub("[-_.]+", "-", name).lower(), each.version or "")
    told["installed"] = found
    told["build"] = [sys.implementation.cache_tag, sysconfig.get_platform()]
    told["build"] += platform.libc_ver()
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True)
class AppPython:
    """A Python that can run an app. `installed` has the version of each distribution by its
    normalized name; `build` is what decides which wheels fit."""

    command: str
    version: str
    prefix: str
    build: tuple[str, ...]
    installed: Mapping[str, str]

    @property
    def is_own(self) -> bool:
        """Whether it is the very environment that the lab runs in."""
        return Path(self.prefix).resolve() == Path(sys.prefix).resolve()

    def version_of(self, distribution: str) -> str | None:
        """The version that is installed there, None when there is none."""
        return self.installed.get(distribution.replace("_", "-").replace(".", "-").lower())


def look_at(path: str) -> AppPython:
    """The Python at `path`, which is that of the interpreter or of its environment's folder.
    Raises UsageError when there is none, or when it is too old."""
    command = str(_interpreter(Path(path).expanduser().absolute()))
    try:
        with tempfile.TemporaryDirectory() as nowhere:  # no module of the app's is in the way there
            done = subprocess.run(
                [command, "-"],
                input=LOOK,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=LOOK_SECONDS,
                cwd=nowhere,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{command} is no Python: it does not run: {reason}") from None
    lines = done.stdout.splitlines()
    try:
        told = json.loads(lines[-1])
        version = tuple(told["version"])
    except (IndexError, KeyError, TypeError, ValueError):
        said = (done.stderr.strip() or done.stdout.strip())[-SAID:] or "nothing"
        raise UsageError(f"{command} is no Python that works; it says: {said}") from None
    if version < OLDEST:
        raise UsageError(
            f"{command} is Python {_dotted(version)}; {_dotted(OLDEST)} or later is needed to "
            "serve an app: make the app's virtual environment anew with a later one"
        )
    return AppPython(
        command, _dotted(version), told["prefix"], tuple(told["build"]), told["installed"]
    )


def active_environment() -> str | None:
    """The folder of the virtual environment that is active, unless the lab itself runs in it."""
    folder = os.environ.get("VIRTUAL_ENV")
    if not folder or Path(folder).resolve() == Path(sys.prefix).resolve():
        return None
    return folder


def _interpreter(path: Path) -> Path:
    """The program, not followed to where it leads: its place is what makes the environment."""
    if path.is_dir():
        inside = ("Scripts/python.exe",) if sys.platform == "win32" else ("bin/python",)
        for name in (*inside, "bin/python", "Scripts/python.exe"):
            if os.path.lexists(path / name):
                path /= name
                break
        else:
            raise UsageError(
                f"{path} is no virtual environment: there is no {inside[0]} in it; name the "
                "folder that `python -m venv FOLDER` has made, or its Python"
            )
    if path.is_symlink() and not path.exists():
        raise UsageError(
            f"{path} leads to {path.resolve()}, which is not there: the virtual environment was "
            "moved, or its Python was removed; make it anew with `python -m venv`"
        )
    if not path.exists():
        raise UsageError(f"there is no {path}; name the Python of the app's virtual environment")
    if not path.is_file():
        raise UsageError(f"{path} is no Python: it is no file")
    return path


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
