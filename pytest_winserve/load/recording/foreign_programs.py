"""What engines that are programs of others share: a folder for a run, and the end of all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_winserve.errors import LoadError
from pytest_winserve.system.keeper import Keeper
from pytest_winserve.system.lab_folder import LabFolder
from pytest_winserve.system.process_tree import kill
from pytest_winserve.system.program import Program


@contextlib.contextmanager
def workspace(engine: str) -> Iterator[Path]:
    """A folder for one run, removed afterwards."""
    files = LabFolder.make(f"{engine}-")
    try:
        yield files.path
    finally:
        files.remove()


def end(keeper: Keeper, programs: Sequence[Program], engine: str) -> None:
    """End the programs and all that they started; LoadError when something of it is left."""
    left = keeper.members()
    # Again, because a process may start another while it is being looked for.
    for _ in range(3):
        if not left:
            break
        kill(left)
        left = keeper.members()
    for program in programs:
        program.ask_to_stop()
        program.kill()
        program.wait(10)
    keeper.dismiss()
    if left:
        raise LoadError(f"of {engine} these processes are left: {[each.pid for each in left]}")
