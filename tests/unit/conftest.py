"""The tier that starts no process and opens no socket: a test here that does either fails."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_process_and_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a test in tests/unit starts no process and opens no connection")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("fork", "posix_spawn", "system"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, refuse)
