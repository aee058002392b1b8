"""This machine, in this Python."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.deployment.contract import Deployment, Spec
from pytest_winserve.deployment.processes import Processes
from pytest_winserve.errors import UsageError
from pytest_winserve.servers import get_server, require_server


@dataclass(slots=True)
class LocalHost:
    """Servers run as children of this process."""

    name: str = "local"
    provision: bool = False

    def open(self) -> AbstractContextManager[None]:
        return nullcontext()

    def deploy(self, spec: Spec) -> Deployment:
        return Processes(spec)

    def folder(self) -> str:
        return str(Path.cwd())

    def path(self) -> tuple[str, ...]:
        return tuple(str(Path(entry).absolute()) for entry in sys.path if entry)

    def require(self, server: str) -> None:
        require_server(get_server(server), sys.platform)

    def about(self) -> dict[str, Any]:
        return {}


def open_host(argument: str) -> LocalHost:
    if argument:
        raise UsageError(f"the host local takes no argument, but has {argument!r}")
    return LocalHost()


def ready() -> str:
    return "this machine"
