"""Virtual environments of an app's own, made without the network: from what this Python has."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_winserve.errors import UsageError
from pytest_winserve.shipping.app_python import OLDEST, look_at


def make_environment(folder: Path, *distributions: str, python: str = sys.executable) -> Path:
    """A virtual environment without pip, with copies of these pure Python distributions of this
    one; its Python."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    windows = sys.platform == "win32"
    program = folder / ("Scripts/python.exe" if windows else "bin/python")
    done = subprocess.run(
        [program, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    for name in distributions:
        for place, path in files_of(name):
            target = Path(done.stdout.strip(), place)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return program


def make_wheel(distribution: str, folder: Path) -> Path:
    """A wheel of a pure Python distribution that is installed here, for pip's --find-links."""
    version = importlib.metadata.version(distribution)
    name = canonicalize_name(distribution).replace("-", "_")
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for place, path in files_of(distribution):
            file.write(path, place)
    return wheel


def files_of(distribution: str) -> Iterator[tuple[str, Path]]:
    """The files below site-packages: where they are in it, and where they are here."""
    for file in importlib.metadata.files(distribution) or []:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            yield file.as_posix(), Path(str(file.locate()))


def oldest_python() -> str:
    """The oldest Python that an app may have, where it is installed; else this one."""
    name = f"python{'.'.join(map(str, OLDEST))}"
    found = shutil.which(name)
    if found is None:
        return sys.executable
    try:
        return look_at(found).command
    except UsageError:  # such as a launcher of a Python that is not chosen
        return sys.executable
