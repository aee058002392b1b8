"""WinSW, which runs a program as a Windows service by an XML file: one that is on the PATH."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_winserve.deploy.wrapped import Wrapped
from pytest_winserve.errors import MissingComponent

PROGRAM = "winsw.exe"
KNOWN_AS = ("winsw", "WinSW-x64")
"""As people name it, and as it is named where it can be downloaded."""


def get_winsw(folder: Path) -> None:
    """Put winsw.exe into a folder. Raises MissingComponent when there is none on the PATH."""
    for name in KNOWN_AS:
        found = shutil.which(name)
        if found:
            shutil.copyfile(found, folder / PROGRAM)
            return
    raise MissingComponent(
        "winsw",
        "winsw.exe is not on the PATH",
        "get WinSW-x64.exe (https://github.com/winsw/winsw/releases), name it winsw.exe, and put "
        "it into a folder of the PATH; or take the default, --services nssm",
    )


SERVICES = Wrapped(
    "winsw", PROGRAM, get_winsw, rotates="; a new file each 10 MiB, and eight are kept",
    expands="WinSW",
)  # fmt: skip
