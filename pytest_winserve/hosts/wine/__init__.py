"""Windows under Wine on this Linux: `wine`."""

from __future__ import annotations

import sys

from pytest_winserve.errors import UsageError
from pytest_winserve.hosts.wine.layout import default_layout
from pytest_winserve.hosts.wine.machine import WineMachine
from pytest_winserve.remote.host import RemoteHost


def open_host(argument: str) -> RemoteHost:
    if argument:
        raise UsageError(f"the host wine takes no argument, but has {argument!r}")
    return RemoteHost(_machine())


def ready() -> str:
    return _machine().ready()


def _machine() -> WineMachine:
    if sys.platform == "win32":
        raise UsageError("the host wine is for Linux; this is Windows itself: the host local")
    return WineMachine(default_layout())
