"""The kind of machine that ssh reaches, Windows or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.hosts.ssh.client import UP, Destination, Forward
from pytest_winserve.remote.machine import Failure
from pytest_winserve.shipping.bring import Arriving, app_folder, parts
from pytest_winserve.shipping.contents import DISTRIBUTION, PACKAGE
from pytest_winserve.system.ports import Address, Listen
from pytest_winserve.version import __version__

if TYPE_CHECKING:
    import execnet

    from pytest_winserve.deployment.contract import Spec

OLDEST = (3, 11)
NOTE = (
    "a load from here goes through ssh, where a refused connection looks like a closed one and "
    "encryption takes time; with --winserve-load-from=host it is sent over there"
)


class SshMachine:
    """A Python behind ssh. Nothing is brought there, unless `prepare` is told to."""

    advice = "a package that the app needs there is to be installed there"
    listen = Listen()

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._forwards: dict[int, Forward] = {}
        self._provision = False
        self._python = 0
        self._brought: list[str] = []

    @property
    def name(self) -> str:
        return self._destination.name

    @property
    def note(self) -> str:
        return "; ".join([NOTE, *self._brought])

    @property
    def mend(self) -> str:
        return (
            "the option --winserve-provision (of the command: --provision), or over there: "
            f"python -m pip install {DISTRIBUTION}=={__version__}"
        )

    def commands(self, code: str) -> Iterator[list[str]]:
        for number, line in enumerate(self._destination.lines(code)):
            self._python = number
            yield self._destination.command(line, "-o", "ClearAllForwardings=yes")

    def explained(self, said: str) -> Failure:
        return self._destination.explained(said)

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        self._provision = provision
        with closing(Arriving(gateway)) as over:
            folder = self._destination.chdir or ""
            try:
                over("enter", folder)
            except StartError as error:
                raise UsageError(f"{self.name}: chdir={folder}: {error}") from None
            python = over.python()
            if python.version < OLDEST:
                raise MissingComponent(
                    self.name,
                    f"Python {python.markers['python_full_version']} over there, "
                    f"{OLDEST[0]}.{OLDEST[1]} or later is needed",
                    f"name another one: {self.name}//python=COMMAND",
                )
            needed = parts(python)
            sent = sum(over.bring(*part) for part in needed.items()) if provision else 0
            if all(over("has", name) for name in needed):
                over("use", *needed)
            elif not over("finds", PACKAGE.name):
                raise MissingComponent(self.name, f"{DISTRIBUTION} is not over there", self.mend)
        if sent:
            self._tell(f"{DISTRIBUTION} and its packages", sent, python.base)

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        if not self._provision or spec.app.startswith(f"{PACKAGE.name}."):
            return spec
        app = app_folder(Path.cwd())
        with closing(Arriving(gateway)) as over:
            sent = over.bring(app.name, app.copy)
            folder: str = over("part", app.name)
        if sent:
            self._tell(f"{app.folder} ({len(app.files)} files)", sent, folder)
        return replace(spec, folder=folder, path=(folder,))

    def folder(self) -> Path:
        return Path.cwd()

    def reach(self, port: int) -> Address:
        if port not in self._forwards:
            line = list(self._destination.lines(UP))[self._python]
            self._forwards[port] = Forward(self._destination, line, port)
        return self._forwards[port].address

    def translate(self, path: Path) -> None:
        return None

    def gone(self) -> str | None:
        return None  # ssh ends when it loses the other side

    def _tell(self, what: str, sent: int, where: str) -> None:
        self._brought.append(f"sent there: {what}, {sent / 1000:.0f} kB, into {where}")

    def close(self) -> None:
        while self._forwards:
            self._forwards.popitem()[1].close()
