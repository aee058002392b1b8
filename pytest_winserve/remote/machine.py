"""What the lab must know of one kind of machine that is not this one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_winserve.deployment.contract import Spec
from pytest_winserve.system.ports import Address, Listen

if TYPE_CHECKING:
    import execnet


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no Python over there could be started, and the one line that mends it. `missing` when
    there is none of that name, so that another name may do."""

    reason: str
    mend: str
    missing: bool = False


class Machine(Protocol):
    """What the lab must know of one kind of machine."""

    @property
    def name(self) -> str:
        """The host's name, as in the option."""

    @property
    def mend(self) -> str:
        """The one line that brings this package, or what it serves with, to the machine."""

    @property
    def advice(self) -> str:
        """What to do when the app needs a Python package that is not over there."""

    @property
    def note(self) -> str:
        """What the reader of results from there should know."""

    def commands(self, code: str) -> Iterable[list[str]]:
        """Commands that run Python code over there, to be tried in turn. Raises MissingComponent.

        The code is one line without double quotes and without what shells give a meaning.
        """

    def explained(self, said: str) -> Failure:
        """Why a command did not start a Python, by what was said."""

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        """Have this package found over there, and brought there first if `provision`; `note` tells
        of that then. Raises MissingComponent."""

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        """The spec with the app's folder as it is over there."""

    def folder(self) -> Path:
        """Where those commands run, here."""

    @property
    def listen(self) -> Listen:
        """Where servers over there listen to be reached from here."""

    def reach(self, port: int) -> Address:
        """How a port over there is reached from here. Raises StartError when it is not."""

    def translate(self, path: Path) -> str | None:
        """What a path of this machine is called over there; None when it is not there."""

    def gone(self) -> str | None:
        """Why it cannot answer any more, if that can be told without asking it."""

    def close(self) -> None:
        """Give up what `commands` and `reach` took hold of, and end what may still run of it."""


def own_path() -> list[Path]:
    """The entries of Python's path that are the user's own: not this Python's libraries and
    programs, which are of no use to another."""
    import site
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    libraries = [sysconfig.get_path(name) for name in names]
    libraries += [*site.getsitepackages(), site.getusersitepackages(), sys.base_prefix + "/lib"]
    found = [Path(entry).absolute() for entry in sys.path if entry]
    return [
        entry
        for entry in found
        if entry.is_dir() and not any(entry.is_relative_to(library) for library in libraries)
    ]
