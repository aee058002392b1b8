"""Keepers: what makes sure that no process of a deployment outlives the lab, however that ends.

On POSIX a guard process watches a pipe from the lab; on Windows a job object does it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import psutil


class Keeper(Protocol):
    """Holds the processes of one deployment."""

    @property
    def creation_flags(self) -> int:
        """What `subprocess.Popen` must be given for a process that is to be adopted."""

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Hold a process that was just started, and all that it will start."""

    def take_stock(self) -> None:
        """Note all processes while their parents live; by them alone some are found later."""

    def families(self) -> dict[int, list[int]]:
        """The pids of what is held and alive, by the pid adopted that it descends from. Cheap."""

    def members(self) -> list[psutil.Process]:
        """The processes held that are alive."""

    def dismiss(self) -> list[str]:
        """End the holding, when nothing is left to be held. Returns what was wrong with it."""


def new_keeper(tag: str, folder: Path | None = None) -> Keeper:
    """A keeper for the deployment whose processes carry `tag` in their environment, and which has
    its files in `folder`: on POSIX that is removed when the lab was killed."""
    if sys.platform == "win32":
        from pytest_winserve.system.keeper_windows import JobKeeper

        return JobKeeper()
    else:  # noqa: RET505 - type checkers follow one platform only
        from pytest_winserve.system.keeper_posix import GuardKeeper

        return GuardKeeper(tag, folder)
