"""Closes its standard streams while it loads: the files themselves, or Python's objects."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .answer import answering

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def files() -> WSGIApplication:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    return answering(lambda environ: "closed")


def objects() -> WSGIApplication:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    return answering(lambda environ: "closed")


def nothing() -> WSGIApplication:
    sys.stdin = sys.stdout = sys.stderr = None
    return answering(lambda environ: "closed")
