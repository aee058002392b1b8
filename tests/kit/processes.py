"""Processes in tests: which live, a lab that is killed, a command that is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from pytest_winserve.system.process_tree import alive
from tests.kit.commands import Start, Started
from tests.kit.traces import Traces
from tests.kit.waiting import eventually


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end, if it runs then."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def killed_lab(engine: str, url: str, folder: Path) -> Iterator[list[psutil.Process]]:
    """A lab whose load has begun: its processes. It is killed, and they all end with it."""
    module = engine.partition(".")[0]
    code = (
        "import sys\n"
        "from pytest_winserve.load import Plan, Target\n"
        f"from pytest_winserve.load.engines import {module}\n"
        f"{engine}.run(Plan.make(users=2, duration=60), Target(sys.argv[1]), print)\n"
    )
    path = folder / "out"
    with path.open("wb") as out:
        lab = subprocess.Popen(
            [sys.executable, "-u", "-c", code, url],
            stdout=out,
            stderr=out,
            env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder)},
        )
    try:
        eventually(lambda: b"Progress(" in path.read_bytes(), seconds=60)
        family = psutil.Process(lab.pid).children(recursive=True)
        yield family
    finally:
        lab.kill()
        lab.wait()
    eventually(lambda: not [p for p in family if alive(p)], seconds=30)


def signal_group(run: Started, number: int) -> None:
    """As a terminal does, to the whole group."""
    if sys.platform != "win32":
        os.killpg(run.process.pid, number)


def up_until(number: str, topology: str, traces: Traces, start: Start) -> None:
    """`winserve up` until a signal to its group, and nothing is left of it."""
    run = start("winserve", "up", topology)
    run.wait_for("(Ctrl-C stops it)")
    traces.look()
    signal_group(run, getattr(signal, number))
    run.process.wait(60)
    traces.gone()
    assert "Traceback" not in run.text()
