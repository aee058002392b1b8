"""Finds and ends the processes of one deployment, whatever became of their parents.

A process belongs to it when it is in the session of one that the lab started (POSIX), when it
carries the deployment's tag in its environment, or when it descends from such a process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from pytest_winserve.system.process_tag import TAG_VARIABLE


def members(tag: str, leaders: Iterable[int]) -> list[psutil.Process]:
    """The living processes of the deployment `tag`, whose sessions are led by `leaders`."""
    sessions = set(leaders)
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _belongs(process, tag, sessions):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                found[process.pid] = now = of_now(process)
                found |= {child.pid: child for child in now.children(recursive=True)}
    found.pop(os.getpid(), None)
    return [process for process in found.values() if alive(process)]


def of_now(process: psutil.Process) -> psutil.Process:
    """The process that has this one's number now. `psutil.process_iter` keeps what it made of a
    number, and that one psutil does not end when it is another process's by now (psutil 6 and
    later). Raises psutil.NoSuchProcess."""
    return psutil.Process(process.pid)


def kill(processes: Iterable[psutil.Process], seconds: float = 2.0) -> list[psutil.Process]:
    """End the processes at once; returns those that are still there after `seconds`."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.kill()
    # Not psutil.wait_procs: it waits for zombies, and an orphan's may stay where init is negligent.
    deadline = time.perf_counter() + seconds
    while left := [process for process in processes if alive(process)]:
        if time.perf_counter() > deadline:
            break
        time.sleep(0.01)
    return left


def describe(process: psutil.Process) -> str:
    """`pid 12 (python -m http.server)`"""
    try:
        return f"pid {process.pid} ({' '.join(process.cmdline())[:120]})"
    except (psutil.Error, OSError):
        return f"pid {process.pid}"


def _belongs(process: psutil.Process, tag: str, sessions: set[int]) -> bool:
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions:
                return True
    try:
        return environment(process).get(TAG_VARIABLE) == tag
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return False


def alive(process: psutil.Process) -> bool:
    """Whether it runs. A zombie does not, unless only its first thread has ended: then the others
    run on, as those of a Windows program whose Wine server is gone."""
    try:
        return process.is_running() and (
            process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        )
    except (psutil.NoSuchProcess, OSError):
        return False


def environment(process: psutil.Process) -> dict[str, str]:
    """What it was given, also where its first thread has ended. Raises psutil.Error."""
    try:
        return process.environ()
    except psutil.ZombieProcess:
        for thread in process.threads():
            with suppress(psutil.NoSuchProcess):
                return psutil.Process(thread.id).environ()
        raise
