"""Small programs that misbehave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from pytest_winserve.system.process_tree import kill
from tests.kit.waiting import eventually

FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@contextmanager
def without_first_thread(environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A process of which a thread runs, but not the first one."""
    with subprocess.Popen(
        [sys.executable, "-c", FIRST_THREAD_ENDS], env=environment, start_new_session=True
    ) as started:
        process = psutil.Process(started.pid)
        try:
            eventually(lambda: process.status() == psutil.STATUS_ZOMBIE)
            yield process
        finally:
            kill([process])
