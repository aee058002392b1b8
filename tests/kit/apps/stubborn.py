"""Does not end when its server does."""

from __future__ import annotations

import atexit
import signal
import threading
import time
from typing import TYPE_CHECKING

from .answer import answering

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def thread() -> WSGIApplication:
    threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    return answering(lambda environ: "thread")


def at_exit() -> WSGIApplication:
    atexit.register(time.sleep, 600)
    return answering(lambda environ: "at exit")


def signals() -> WSGIApplication:
    """It ignores what may be ignored, which alone keeps nobody from ending."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    return answering(lambda environ: "signals")
