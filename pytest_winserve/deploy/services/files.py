"""No services: all of it is run in one window, by hand or by a service manager of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_winserve.deploy.order import Order
    from pytest_winserve.servers import Production


class Files:
    """See `Services`."""

    name = "files"
    on_windows_only = False
    commands: Mapping[str, str] = {"run": "Runs all of it in this window, until Ctrl-C."}
    after_a_change = "stop it and run it again"
    gives_port = ""
    rotates = ""

    def check(self, order: Order) -> None:
        return

    def get(self, order: Order) -> None:
        return

    def texts(self, order: Order, productions: Sequence[Production]) -> Mapping[str, str]:
        return {}

    def next_steps(self, order: Order) -> Iterator[str]:
        if os.name == "nt":
            yield str(order.folder / "run.cmd")
        else:
            yield f"{order.python.command} {order.folder / 'control.py'} run"


SERVICES = Files()
