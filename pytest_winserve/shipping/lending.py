"""What another Python gets of the lab, without a change to its environment.

A copy of this package, and what a server needs and that Python lacks, are in the lab's cache. They
are put at the very end of the path of the process that serves, so they replace nothing of the
app's.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.shipping.contents import copy_files_to, fingerprint
from pytest_winserve.system.cache import cache_folder
from pytest_winserve.system.commands import run
from pytest_winserve.system.packages import is_installed

NOT_PASSED = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV")
"""Where else pip would install to, which contradicts a folder of our own; so does PIP_USER."""
OFFLINE = ("Failed to establish a new connection", "Failed to fetch")
"""What pip and uv say when they do not reach the package index."""
NO_WHEEL = re.compile(r"No matching distribution found for (\S+)|Because (\S+) (?:has no|was not) ")
"""What pip and uv say when there is no wheel of a package."""


@dataclass(frozen=True, slots=True)
class Loan:
    """What a server gets in another Python: folders for the end of its path, and the versions of
    what it has of them only."""

    folders: tuple[str, ...]
    versions: dict[str, str]


def package_folder() -> Path:
    """A folder that has nothing but a copy of this package in it."""
    return _made(f"package-{fingerprint()}", copy_files_to)


def lend(python: AppPython, component: str, wanted: Sequence[str]) -> Loan:
    """Have this package, and what is `wanted` as requirements, ready for `python`. What is not in
    the cache yet is installed, which may take minutes. Raises MissingComponent, for `component`,
    when it cannot be, and StartError when there is no place for it."""
    folders = [str(package_folder())]
    if not wanted:
        return Loan(tuple(folders), {})
    names = "-".join(re.split(r"[^\w.-]", text)[0] for text in wanted)
    key = json.dumps([python.build, python.version.split(".")[:2], sorted(wanted)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    lent = _made(
        f"{names}-{python.build[0]}-{digest}",
        lambda folder: _install(python, component, wanted, folder),
    )
    there = [
        each
        for each in importlib.metadata.distributions(path=[str(lent)])
        if python.version_of(each.metadata["Name"]) is None
    ]
    for each in there:
        _check_what_it_meets(python, component, wanted, each)
    versions = {each.metadata["Name"]: each.version for each in there}
    return Loan((*folders, str(lent)), dict(sorted(versions.items())))


def _check_what_it_meets(
    python: AppPython,
    component: str,
    wanted: Sequence[str],
    lent: importlib.metadata.Distribution,
) -> None:
    """Raise MissingComponent when what is lent needs another version of what is there."""
    from packaging.requirements import Requirement

    markers = {
        "extra": "",
        "python_version": ".".join(python.version.split(".")[:2]),
        "python_full_version": python.version,
    }
    for need in map(Requirement, lent.requires or []):
        found = python.version_of(need.name)
        if found is None or (need.marker is not None and not need.marker.evaluate(markers)):
            continue
        if not need.specifier.contains(found, prereleases=True):
            raise MissingComponent(
                component,
                f"it cannot be lent: {lent.metadata['Name']} {lent.version} needs {need.name}"
                f"{need.specifier}, and {python.prefix} has {need.name} {found}",
                _by_hand(python, wanted),
            )


def _by_hand(python: AppPython, wanted: Sequence[str]) -> str:
    return f"{python.command} -m pip install {' '.join(map(repr, wanted))}"


def _made(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder of that name in the cache; `fill` makes it if nobody has. One that is there is
    whole."""
    from filelock import FileLock

    base = cache_folder() / "lent"
    folder = base / name
    if folder.is_dir():
        return folder
    try:
        base.mkdir(parents=True, exist_ok=True)
        with FileLock(base / f"{name}.lock"):
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=base, prefix="new-") as new:
                    fill(Path(new) / name)
                    (Path(new) / name).rename(folder)
    except OSError as error:
        raise StartError(f"what is lent cannot be kept in {base}: {error}") from None
    return folder


def _install(python: AppPython, component: str, wanted: Sequence[str], folder: Path) -> None:
    command = [*_installer(python, component), "--target", str(folder), *wanted]
    environment = {k: v for k, v in os.environ.items() if k not in NOT_PASSED} | {"PIP_USER": "0"}
    by_hand = _by_hand(python, wanted)
    try:
        done = run(command, environment)
    except StartError as error:
        raise MissingComponent(component, f"it cannot be lent: {error}", by_hand) from None
    if done.returncode == 0:
        return
    said = done.stderr.strip() or done.stdout.strip()
    for_it = f"for Python {python.version} ({python.build[1]})"
    no_wheel = NO_WHEEL.search(said)
    if any(words in said for words in OFFLINE):
        reason = f"it cannot be lent {for_it}: the package index cannot be reached"
        by_hand = "connect this machine to the network once, or name an index by PIP_INDEX_URL"
    elif no_wheel:
        package = no_wheel[1] or no_wheel[2]
        reason = f"it cannot be lent: no wheel of {package} could be found {for_it}"
    else:
        reason = f"it cannot be lent {for_it}: {said.splitlines()[-1] if said else 'pip failed'}"
    raise MissingComponent(component, reason, by_hand)


def _installer(python: AppPython, component: str) -> list[str]:
    """What installs for another Python: the lab's own pip, that Python's, or uv."""
    options = ["--disable-pip-version-check", "--no-input", "install", "--only-binary=:all:"]
    if is_installed("pip"):
        return [sys.executable, "-m", "pip", "--python", python.command, *options]
    if python.version_of("pip") is not None:
        return [python.command, "-m", "pip", *options]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--no-build", "--python", python.command]
    raise MissingComponent(
        component,
        "it cannot be lent: neither this Python nor that of the app has pip, and there is no uv",
        f"{sys.executable} -m ensurepip",
    )
