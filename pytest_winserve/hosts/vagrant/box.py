"""A machine of Vagrant: whether it runs, and what is wrong when it does not come up."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.system.cache import cache_folder
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.packages import is_installed
from pytest_winserve.system.program import tail

GET_BINDING = 'python -m pip install "pytest-winserve[vagrant]"'
GET_VAGRANT = (
    "install Vagrant: its maker's package, or sudo apt-get install vagrant vagrant-libvirt"
)
NO_PROVIDER = re.compile(
    r"[Nn]o usable default provider|provider '\w+' (could not be found|that was requested)"
    r"|not reporting itself as usable"
)
NO_BOX = re.compile(
    r"[Bb]ox.{0,80}(could not be found|couldn't be|not be accessed)"
    r"|error occurred while downloading|checksum of the downloaded",
    re.DOTALL,
)
SETUP = "winserve setup vagrant"
GET_PROVIDER = (
    "VirtualBox, or: sudo apt-get install vagrant-libvirt libvirt-daemon-system qemu-system-x86"
)
PROVIDERS = {
    "virtualbox": ("VBoxManage", None),
    "hyperv": ("vmms", None),
    "vmware_desktop": ("vmrun", "vagrant-vmware-desktop"),
    "libvirt": ("virsh", "vagrant-libvirt"),
}
"""A provider's own program, and Vagrant's plugin for it where it has none itself."""


@dataclass(frozen=True, slots=True)
class Box:
    """A machine of the Vagrantfile in `folder`."""

    folder: Path
    machine: str

    def up(self, tell: Callable[[str], None], *, provision: bool | None = None) -> str:
        """Have it running; ssh's configuration for it. With `provision` also what runs is
        provisioned, without only what is made anew. Raises MissingComponent, StartError."""
        with self._alone():
            state = self.state()
            if state == "running" and not provision:
                tell(f"the machine {self.machine} of {self.folder} runs")
            else:
                tell(f"the machine {self.machine} of {self.folder} is {state}; it is brought up")
                self._call(lambda tool: tool.up(vm_name=self.machine, provision=provision))
            text = self._call(lambda tool: tool.ssh_config(vm_name=self.machine))
        return str(text)

    def state(self) -> str:
        """Such as running, poweroff, saved and not_created."""
        found = self._call(lambda tool: tool.status(vm_name=self.machine))
        return str(found[0].state)

    def destroy(self) -> None:
        """Remove it, with its disk."""
        with self._alone():
            self._call(lambda tool: tool.destroy(vm_name=self.machine))

    def _call(self, action: Callable[[Any], Any]) -> Any:
        module = binding()
        with tempfile.TemporaryDirectory() as temp:
            log = Path(temp) / "log"
            files = module.make_file_cm(str(log))
            tool = module.Vagrant(root=str(self.folder), out_cm=files, err_cm=files)
            try:
                return action(tool)
            except subprocess.CalledProcessError as error:
                said = tail(log, 8000) + str(error.output or "")
                raise explained(self, said) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two labs do not bring up the same machine at a time: Vagrant refuses the second."""
        from filelock import FileLock

        with FileLock(self.kept(".lock"), thread_local=False):
            yield

    def kept(self, suffix: str) -> Path:
        """A file of this machine's that all labs of the user share."""
        name = hashlib.sha256(f"{self.folder}\0{self.machine}".encode()).hexdigest()[:12]
        return shared_folder() / f"vagrant-{name}{suffix}"


def explained(box: Box, said: str) -> MissingComponent | StartError:
    """The error that Vagrant's complaint stands for."""
    text = "\n".join(line for line in said.strip().splitlines()[-12:])
    name = f"vagrant:{box.machine}"
    where = os.environ.get("WINSERVE_BOX_URL") or "the registry of boxes"
    if NO_PROVIDER.search(said):
        return MissingComponent(
            name, f"there is no provider that runs it\n{text}",
            f"one of {', '.join(PROVIDERS)}; WINSERVE_PROVIDER names it",
        )  # fmt: skip
    if NO_BOX.search(said):
        return MissingComponent(
            name,
            f"its box {os.environ.get('WINSERVE_BOX', 'of the Vagrantfile')} cannot be had from "
            f"{where}\n{text}",
            "WINSERVE_BOX_URL: the URL or file of a box, WINSERVE_BOX: its name",
        )
    if "machine with the name" in said:
        return MissingComponent(name, f"the Vagrantfile has no such machine\n{text}",
                                f"vagrant status, in {box.folder}")  # fmt: skip
    return StartError(f"{name} in {box.folder} does not come up; Vagrant says:\n{text}")


def binding() -> Any:
    """python-vagrant. Raises MissingComponent without it, and without Vagrant itself."""
    if not is_installed("vagrant"):
        raise MissingComponent("vagrant", "python-vagrant is not installed", GET_BINDING)
    # Before the import, which writes a warning where there is no such program.
    if shutil.which("vagrant") is None:
        raise MissingComponent("vagrant", "there is no program `vagrant` on the PATH", GET_VAGRANT)
    import vagrant

    return vagrant


def ready() -> str:
    """Vagrant's version, and what each provider lacks. Raises MissingComponent without any."""
    tool = binding().Vagrant()
    lacks = dict(lacking({plugin.name for plugin in tool.plugin_list()}))
    told = "; ".join(f"{name}: {what or 'ready'}" for name, what in lacks.items())
    if all(lacks.values()):
        raise MissingComponent("vagrant", f"no provider is ready ({told})", GET_PROVIDER)
    return f"Vagrant {tool.version()}; {told}"


def lacking(plugins: Container[str]) -> Iterator[tuple[str, str]]:
    """Each provider with what it lacks, or nothing."""
    for name, (program, plugin) in PROVIDERS.items():
        if shutil.which(program) is None:
            yield name, f"no program {program}"
        elif plugin is not None and plugin not in plugins:
            yield name, f"vagrant plugin install {plugin}"
        else:
            yield name, ""


def find_folder() -> Path:
    """Where the Vagrantfile is: as Vagrant looks for it, else what `winserve setup vagrant` made.
    Raises MissingComponent."""
    here = Path(os.environ.get("VAGRANT_CWD") or Path.cwd()).absolute()
    for folder in (here, *here.parents, lab_folder()):
        if (folder / "Vagrantfile").is_file():
            return folder
    raise MissingComponent("vagrant", f"there is no Vagrantfile in {here} or above it", SETUP)


def lab_folder() -> Path:
    """Where `winserve setup vagrant` puts the lab's Vagrantfile: in the user's cache folder."""
    return cache_folder() / "vagrant"
