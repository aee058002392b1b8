"""Starts a process while it loads that outlives it; answers with its pid."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .answer import answering

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

WAITS = "import time; time.sleep(600)"


def near() -> WSGIApplication:
    """In the app's own session."""
    child = subprocess.Popen([sys.executable, "-c", WAITS])
    return answering(lambda environ: child.pid)


def far() -> WSGIApplication:
    """In a session of its own, as daemons are."""
    child = subprocess.Popen([sys.executable, "-c", WAITS], start_new_session=True)
    return answering(lambda environ: child.pid)


def hidden() -> WSGIApplication:
    """In a session of its own and without the environment."""
    child = subprocess.Popen([sys.executable, "-c", WAITS], start_new_session=True, env={})
    return answering(lambda environ: child.pid)


def listening() -> WSGIApplication:
    """In a session of its own, with a port of its own."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); " + WAITS
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    return answering(lambda environ: child.pid)
