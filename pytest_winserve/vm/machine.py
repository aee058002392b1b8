"""The kind of machine that is a virtual one of Vagrant: behind ssh like any other, once it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pytest_winserve.ssh.client import Destination
from pytest_winserve.ssh.machine import SshMachine
from pytest_winserve.vm.box import Box, find_folder


class VagrantMachine(SshMachine):
    """Brought up when it is needed, and left running."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination)
        self._machine = destination.address
        self._config: Path | None = None

    def commands(self, code: str) -> Iterator[list[str]]:
        text = Box(find_folder(), self._machine).up(lambda said: None)
        with tempfile.NamedTemporaryFile("w", prefix="winserve-ssh-", delete=False) as file:
            file.write(text)
        self._config = Path(file.name)
        # Which host keys are good, and which user and key log in, Vagrant knows.
        self._destination = replace(
            self._destination, ssh_config=str(self._config), options=(), address=alias(text)
        )
        yield from super().commands(code)

    def close(self) -> None:
        super().close()
        if self._config is not None:
            self._config.unlink(missing_ok=True)


def alias(config: str) -> str:
    """What the machine is called in ssh's configuration."""
    return next(line.split()[1] for line in config.splitlines() if line.startswith("Host "))
