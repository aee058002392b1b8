"""A virtual machine of Vagrant: `vagrant`, or `vagrant:MACHINE` of a Vagrantfile with several."""

from __future__ import annotations

from pathlib import Path

from pytest_winserve.errors import UsageError
from pytest_winserve.hosts.ssh.client import Destination
from pytest_winserve.hosts.vagrant import box
from pytest_winserve.hosts.vagrant.machine import VagrantMachine
from pytest_winserve.remote.host import RemoteHost

DEFAULT = "default"
"""What Vagrant calls the machine of a Vagrantfile with one."""


def open_host(argument: str) -> RemoteHost:
    return host_of(argument)


def host_of(argument: str, folder: Path | None = None) -> RemoteHost:
    """A machine of the Vagrantfile in `folder`, or of that which Vagrant finds."""
    text = argument or DEFAULT
    destination = Destination.parse("vagrant", DEFAULT + text if text.startswith("//") else text)
    if destination.ssh_config is not None:
        raise UsageError(f"vagrant:{argument}: ssh's configuration is Vagrant's, leave it out")
    return RemoteHost(VagrantMachine(destination, folder))


def ready() -> str:
    return box.ready()
