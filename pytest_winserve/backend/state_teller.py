"""Tells what this process has for itself (`own_state.py`), when the lab asks for it by a request of
its own, whose tag is `STATE_TAG`.

Until then nothing is looked at but what `noted.py` says, when the app is loaded, and nothing
imported for it, so that what is measured is what is deployed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.backend.noted import Noted, children_of

if TYPE_CHECKING:
    from pytest_winserve.system.ports import Address


class StateTeller:
    """Writes what this process has for itself beside its counters."""

    def __init__(
        self, app: object, counters: Path, backend: int, salt: str, server: str = "",
        own_addresses: Callable[[], Iterable[Address]] | None = None,
    ) -> None:  # fmt: skip
        self._noted = Noted(app, backend, salt, server, own_addresses)
        self._counters = counters

    def serves(self) -> None:
        """The server is made: what child processes have come with it are not the app's."""
        self._noted.children_of_server = children_of(os.getpid())

    def tell(self) -> None:
        """Look, and write it."""
        with suppress(Exception):  # whatever an app has made of Python, it is served
            from pytest_winserve.backend.own_state import look, to_json

            file = self._counters.with_suffix(f".state-{os.getpid()}")
            new = file.with_name(f"{file.name}.{threading.get_ident()}")
            new.write_text(to_json(look(self._noted)), encoding="utf-8")
            new.replace(file)
