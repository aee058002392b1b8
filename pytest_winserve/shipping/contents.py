"""What this package consists of, wherever its files lie: in a checkout or installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_winserve.version import __version__

DISTRIBUTION = "pytest-winserve"
PACKAGE = Path(__file__).parents[1]
LAB_FILES = "lab_files"
"""Not `lab`, which is a package of code."""
INFO = f"{PACKAGE.name}-{__version__}.dist-info"
"""The folder by which a Python knows of the plugin and the command."""


def lab_folder(package: Path = PACKAGE) -> Path:
    """What the lab configures servers with: `lab_files` of an installed package; in a checkout the
    folder `lab` beside the package."""
    inside = package / LAB_FILES
    return inside if inside.is_dir() else package.parent / "lab"


def files(package: Path = PACKAGE) -> dict[str, Path]:
    """The package's files by their places in an installed package, in order."""
    lab = lab_folder(package)
    found = {path.relative_to(package).as_posix(): path for path in package.rglob("*")}
    found |= {f"{LAB_FILES}/{path.relative_to(lab).as_posix()}": path for path in lab.rglob("*")}
    return {
        name: path
        for name, path in sorted(found.items())
        if path.is_file() and "__pycache__" not in path.parts
    }


def fingerprint(package: Path = PACKAGE) -> str:
    """Twelve digits that two copies of the package share only when their files are the same."""
    import hashlib  # here, because every site that has a front imports this module

    digest = hashlib.sha256()
    for name, path in files(package).items():
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def copy_files_to(folder: Path) -> None:
    """Put a copy of the package into `folder`, which does not have one yet: to be imported from
    there, not known as installed."""
    for name, path in files().items():
        place = folder / PACKAGE.name / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def info_texts() -> dict[str, str]:
    """What the folder INFO of a copy has, by the names of its files. The description in METADATA is
    the README, so it may differ between two copies of the same package."""
    import importlib.metadata

    here = importlib.metadata.distribution(DISTRIBUTION)
    return {name: here.read_text(name) or "" for name in ("METADATA", "entry_points.txt")}


def copy_to(folder: Path) -> None:
    """Put a copy of the package, as if installed, into `folder`, which does not have one yet."""
    copy_files_to(folder)
    (folder / INFO).mkdir()
    for name, text in info_texts().items():
        (folder / INFO / name).write_text(text, "utf-8")
