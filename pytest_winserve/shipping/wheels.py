"""Packages for another Python than this one: what is needed, got from PyPI by this one's pip."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_winserve.errors import StartError
from pytest_winserve.shipping.contents import DISTRIBUTION
from pytest_winserve.system.commands import run

INTO = ("--no-compile", "--no-warn-conflicts", "--target")
"""pip's options for what another Python is to import from a folder: its conflicts with what is
installed here are none."""
HERE_ONLY = {"container", "vagrant"}
"""Extras of what the lab itself uses, and no server."""


def requirements(markers: Mapping[str, str]) -> set[str]:
    """What this package and its extra `all` need for the Python of these markers, in the versions
    installed here, so that both sides compare."""
    # Build tools may write into `all` what it has of other extras, so names are left out.
    core, wanted = _of_extra("", markers), _of_extra("all", markers)
    own = {each.name for extra in HERE_ONLY for each in _of_extra(extra, markers) - core}
    return {_as_here(each) for each in wanted if each.name not in own}


def _of_extra(extra: str, markers: Mapping[str, str]) -> set[Requirement]:
    """What this package needs with an extra, or without any."""
    found: set[Requirement] = set()
    todo, done = [extra], set[str]()
    while todo:
        extra = todo.pop()
        done.add(extra)
        for text in importlib.metadata.requires(DISTRIBUTION) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is not None and not marker.evaluate({**markers, "extra": extra}):
                continue
            if requirement.name == DISTRIBUTION:
                todo += requirement.extras - done
            else:
                found.add(requirement)
    return found


def install(
    folder: Path,
    wanted: Iterable[str],
    markers: Mapping[str, str],
    platforms: Iterable[str],
    lock: int | None = None,
) -> None:
    """Install wheels into `folder` for a CPython that is described by the variables of dependency
    markers (PEP 508) and the platforms that its wheels are for. `lock` is as for `pip`.

    pip evaluates the markers of dependencies for the Python that it runs in, so what only the other
    one needs is looked up in what was installed, until nothing is missing.
    """
    options = wheels_for(markers["python_version"], platforms)
    todo = set(wanted)
    while todo:
        pip("install", *options, *INTO, str(folder), *sorted(todo), lock=lock)
        todo = _missing(folder, markers)


def wheels_for(version: str, platforms: Iterable[str]) -> list[str]:
    """pip's options for another CPython, `version` being such as 3.11."""
    return [
        *(f"--platform={platform}" for platform in platforms),
        f"--python-version={version}",
        "--implementation=cp",
        "--only-binary=:all:",
    ]


def pip(
    command: str, *arguments: str, lock: int | None, pinned: tuple[str, str] | None = None
) -> None:
    """Run pip with the user's own configuration. Raises StartError with the end of what it says.

    `pinned` is a requirement and the only digest that is taken for it. pip shares the file `lock`:
    when this process is killed, nobody else gets it until pip has ended.
    """
    with tempfile.TemporaryDirectory() as temp:
        words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", command]
        if pinned is not None:
            file = Path(temp) / "pinned.txt"
            file.write_text("{} --hash={}\n".format(*pinned), "utf-8")
            words += ["--require-hashes", "-r", str(file)]
        done = run([*words, *arguments], dict(os.environ), share=() if lock is None else (lock,))
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-8:])
        what = pinned[0] if pinned is not None else "the packages"
        raise StartError(f"pip could not get {what}:\n{said}")


def _missing(folder: Path, markers: Mapping[str, str]) -> set[str]:
    """Requirements of what is installed in `folder` that are not installed there."""
    there = list(importlib.metadata.distributions(path=[str(folder)]))
    names = {canonicalize_name(each.metadata["Name"]) for each in there}
    missing = set()
    for each in there:
        for text in each.requires or []:
            need = Requirement(text)
            if need.marker is not None and not need.marker.evaluate({**markers, "extra": ""}):
                continue
            if canonicalize_name(need.name) not in names:
                need.marker = None
                missing.add(str(need))
    return missing


def _as_here(requirement: Requirement) -> str:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name}{requirement.specifier}"
    return f"{requirement.name}=={version}"
