"""Windows services that a program makes of any other, a wrapper. What it is told is in
`shipped/service_control/`, in a file of the same name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pytest_winserve.deploy.order import Order, refuse_percent

if TYPE_CHECKING:
    from pytest_winserve.servers import Production


@dataclass(frozen=True)
class Wrapped:
    """See `Services`. `fetch` puts `program` into a folder, and raises MissingComponent."""

    name: str
    program: str
    fetch: Callable[[Path], None]
    rotates: str
    expands: str = ""
    """Who takes what is between two percent signs for a variable; empty where nobody does."""

    on_windows_only: ClassVar[bool] = True
    after_a_change: ClassVar[str] = "install.cmd"
    gives_port: ClassVar[str] = ""
    commands: ClassVar[Mapping[str, str]] = {
        "install": "Installs the services, or brings those that are there to what settings.py "
        "says, and starts them.",
        "start": "Starts the services, the backends first.",
        "stop": "Stops the services, the front first.",
        "status": "Says of each service whether it runs and answers. Exit status 0 when all do.",
        "upgrade": "Restarts one backend after the other, each when the one before answers again.",
        "uninstall": "Stops and removes the services. The files stay.",
    }

    def check(self, order: Order) -> None:
        if self.expands:
            refuse_percent(order, self.expands)

    def get(self, order: Order) -> None:
        if not (order.folder / self.program).exists():
            self.fetch(order.folder)

    def texts(self, order: Order, productions: Sequence[Production]) -> Mapping[str, str]:
        return {}

    def next_steps(self, order: Order) -> Iterator[str]:
        yield f"{order.folder / 'install.cmd'}   (as administrator)"
