"""The kinds of reverse proxy, one file each; a front file defines `FRONT`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from pytest_winserve.options import Option, Options
from pytest_winserve.registry import member, names
from pytest_winserve.system.ports import Address
from pytest_winserve.webservers.program import FrontBinary


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of the front to have a backend answer; `answered` when it sent a response header."""

    address: str
    answered: bool


@dataclass(frozen=True, slots=True)
class LogLine:
    """One request in the front's log: the status sent to the client, and the tries behind it."""

    tag: str
    status: int
    attempts: tuple[Attempt, ...]


class Front(Protocol):
    """A kind of reverse proxy."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> tuple[Option, ...]: ...

    def find(self, which: str) -> FrontBinary:
        """The program that `which` chooses; MissingComponent when there is none."""

    def prepare(
        self,
        binary: FrontBinary,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
    ) -> list[str]:
        """Write the configuration into `folder` and return the command that runs it there.

        `listen` is where it listens, `backends` are addresses such as `127.0.0.1:8001`. Raises
        StartError with the program's own message when it refuses the configuration.
        """

    def keeps_connections(self, options: Options) -> bool:
        """Whether its connections to the backends stay open between requests."""

    def quit_command(self, binary: FrontBinary, folder: Path) -> list[str] | None:
        """The command that asks it to stop, where a signal cannot."""

    def listening(self, folder: Path) -> bool:
        """Whether it has come as far as to listen, without asking its port."""

    def error_log(self, folder: Path) -> Path: ...

    def deaths(self, folder: Path) -> list[str]:
        """What its log says of processes of its own that died."""

    def port_taken(self, folder: Path) -> bool:
        """Whether its log says that it could not have its port, or of another fault that a second
        try on another port mends."""

    def unlogged(self, options: Options) -> int:
        """How many answers at most it has sent and not logged, when it is killed."""

    def access_log(self, folder: Path) -> Path: ...

    def read_log(self, lines: Iterable[str]) -> Iterable[LogLine]:
        """The lines of its access log."""


@runtime_checkable
class DeployableFront(Protocol):
    """A front that can be deployed on Windows."""

    def deploy(
        self,
        binary: FrontBinary,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
    ) -> list[str]:
        """As `Front.prepare`, without the lab's marks and with what production needs. The program
        is a path, or its name in `folder`, which is where it will run."""


@runtime_checkable
class KeepsUsers(Protocol):
    """A front that can have a user stay with one backend."""

    def keeps_users(self, options: Options) -> bool:
        """Whether it does with these options, for a client that sends its cookies back."""


@runtime_checkable
class Secures(Protocol):
    """A front that can be spoken to over TLS. Its certificate and key are in its folder, as
    CHAIN_FILE and KEY_FILE, when it is prepared."""

    def secures(self, options: Options) -> bool:
        """Whether it is with these options."""


def front_names() -> list[str]:
    """Every front's name, installed or not."""
    return list(names(__name__))


def get_front(name: str) -> Front:
    """The front of that name; UsageError with the nearest names when there is none."""
    return cast(Front, member(__name__, "front", name, "FRONT").FRONT)
