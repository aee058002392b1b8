"""Windows under Wine, on this machine: the Windows builds of Python, the servers and nginx."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.errors import MissingComponent
from pytest_winserve.hosts.wine.layout import SETUP, Layout, find_wine, windows_path
from pytest_winserve.remote.machine import Failure
from pytest_winserve.system.ports import ADDRESS, ANYWHERE, Address

if TYPE_CHECKING:
    import execnet

    from pytest_winserve.deployment.contract import Spec


PARTS = ("prefix", "python", "site", "package")


class WineMachine:
    """Windows' Python in the layout that `winserve setup wine` has made."""

    name = "wine"
    mend = SETUP
    listen = ANYWHERE
    advice = f"a package that the app needs under Wine: {SETUP} --with PACKAGE"
    note = (
        "Wine runs the Windows builds of Python, the servers and nginx. It shows what they do, "
        "not how fast Windows is, nor its TCP"
    )

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held = ExitStack()

    def ready(self) -> str:
        find_wine()
        state = self._layout.read_state()
        missing = [part for part in PARTS if part not in state]
        if missing:
            self._held.close()
            what = "not set up" if len(missing) == len(PARTS) else f"without {missing[0]}"
            raise MissingComponent(
                self.name, f"the Windows in {self._layout.root} is {what}", self.mend
            )
        return f"{state['prefix']['key']}, {state['python']['key']}, in {self._layout.root}"

    def commands(self, code: str) -> list[list[str]]:
        wine = find_wine()
        if self._layout.root.is_dir():
            # Not the state of a setup that is at work.
            self._held.enter_context(self._layout.held(alone=False))
        try:
            self.ready()
        except MissingComponent:
            self._held.close()
            raise
        return [[*self._layout.command(wine), "-u", "-c", code]]

    def explained(self, said: str) -> Failure:
        return Failure(f"its Python does not start: {said}", self.mend)

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        return  # `winserve setup wine` does it

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        return spec

    def folder(self) -> Path:
        return self._layout.root

    def reach(self, port: int) -> Address:
        return ADDRESS, port  # Wine's sockets are this machine's

    def translate(self, path: Path) -> str:
        return windows_path(path)

    def gone(self) -> str | None:
        return None if self._layout.servers() else "Wine's server has ended"

    def close(self) -> None:
        self._held.close()
        # Others end them as well, when they are alone in the end.
        with suppress(BlockingIOError), self._layout.held(alone=True, wait=False):
            self._layout.end_orphans()
