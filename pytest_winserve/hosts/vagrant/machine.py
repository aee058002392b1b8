"""The kind of machine that is a virtual one of Vagrant: behind ssh like any other, once it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pytest_winserve.hosts.ssh.client import Destination
from pytest_winserve.hosts.ssh.machine import SshMachine
from pytest_winserve.hosts.vagrant.box import SETUP, Box, find_folder
from pytest_winserve.remote.machine import Failure


class VagrantMachine(SshMachine):
    """Brought up when it is needed, and left running. Its Vagrantfile is in `folder`, or where
    Vagrant finds it."""

    def __init__(self, destination: Destination, folder: Path | None = None) -> None:
        super().__init__(destination)
        self._machine = destination.address
        self._folder = folder

    @property
    def mend(self) -> str:
        return f"the option --winserve-provision (of the command: --provision), or {SETUP}"

    def commands(self, code: str) -> Iterator[list[str]]:
        box = Box(self._folder or find_folder(), self._machine)
        text = box.up(lambda said: None)
        file = box.kept(".ssh")
        new = file.with_suffix(f".{os.getpid()}")
        new.write_text(text, "utf-8")
        new.replace(file)
        # Which host keys are good, and which user and key log in, Vagrant knows.
        self._destination = replace(
            self._destination, ssh_config=str(file), options=(), address=alias(text)
        )
        yield from super().commands(code)

    def explained(self, said: str) -> Failure:
        failure = super().explained(said)
        if failure.missing:
            return failure
        return replace(failure, mend=f"see what `vagrant ssh {self._machine}` says")


def alias(config: str) -> str:
    """What the machine is called in ssh's configuration."""
    return next(line.split()[1] for line in config.splitlines() if line.startswith("Host "))
