"""Any machine with ssh and Python, Windows or not: `ssh:DESTINATION`, as ssh knows it."""

from __future__ import annotations

from pytest_winserve.hosts.ssh.client import Destination, version
from pytest_winserve.hosts.ssh.machine import SshMachine
from pytest_winserve.remote.host import RemoteHost


def open_host(argument: str) -> RemoteHost:
    return RemoteHost(SshMachine(Destination.parse("ssh", argument)))


def ready() -> str:
    return f"{version()}, for any machine: ssh:DESTINATION"
