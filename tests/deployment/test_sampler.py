"""The memory and CPU of a site, with programs whose needs are known."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psutil
import pytest

from pytest_winserve import Lab
from pytest_winserve.deployment.sampler import Sampler
from pytest_winserve.load.results.usage import SiteUsage
from pytest_winserve.system.ports import ADDRESS
from pytest_winserve.system.windows import tells_cpu_of_others
from tests.kit.waiting import eventually

BURNED = 0.5
needs_cpu_of_others = pytest.mark.skipif(
    not tells_cpu_of_others(), reason="platform: Wine does not know the CPU of other processes"
)
# Ends by itself after it has computed, so that what it used is known to whoever waits for it.
BURN = f"""
import time
while time.process_time() < {BURNED}: pass
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(code: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield started


def watched(process: subprocess.Popen[str]) -> Sampler:
    """A sampler that watches this process and its children."""

    def families() -> dict[int, list[int]]:
        if not psutil.pid_exists(process.pid):
            return {process.pid: []}
        children = psutil.Process(process.pid).children(recursive=True)
        return {process.pid: [process.pid, *(child.pid for child in children)]}

    return Sampler(families, {process.pid: "backend-0"})


def watched_since_ready(process: subprocess.Popen[str]) -> Sampler:
    """The same, started when the process says that it is ready."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    sampler = watched(process)
    sampler.start()
    return sampler


def say(process: subprocess.Popen[str]) -> str:
    """Have it go on, and wait until it says that it has."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@needs_cpu_of_others
def test_the_cpu_of_children_that_came_and_went_counts(start: Start) -> None:
    process = start(
        "import subprocess, sys\n"
        f"burn = {BURN!r}\n"
        "exec(burn)\n"  # before the watch: it does not count
        "print('ready', flush=True)\n"
        "input()\n"
        "for _ in range(2): subprocess.run([sys.executable, '-c', burn])\n"
        "print('done', flush=True)\n"
        "input()\n"
    )
    sampler = watched_since_ready(process)
    assert say(process) == "done"
    usage = sampler.stop()
    if sys.platform != "win32":
        # Both children, in ticks of 10 ms; less than a third burn, so that the one before the
        # watch is not in it.
        assert usage.cpu is not None
        assert 2 * BURNED - 0.05 <= usage.cpu < 3 * BURNED
    assert usage.parts[0].processes >= 1


@pytest.mark.skipif(sys.platform != "linux", reason="platform: how Linux counts")
def test_the_cpu_of_children_whose_end_is_ignored_is_not_measured(start: Start) -> None:
    process = start(
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # as Apache's mod_cgid
        "print('ready', flush=True)\n"
        "input()\n"
    )
    sampler = watched_since_ready(process)
    usage = sampler.stop()
    assert (usage.cpu, usage.parts[0].cpu) == (None, None)
    assert usage.memory


def test_memory_is_the_most_at_once(start: Start) -> None:
    size = 64 * 2**20
    process = start(
        "print('ready', flush=True)\n"
        "input()\n"
        f"block = bytearray(b'x') * {size}\n"
        "print('big', flush=True)\n"
        "input()\n"
        "del block\n"
        "print('small', flush=True)\n"
        "input()\n"
    )
    sampler = watched_since_ready(process)
    assert say(process) == "big"
    sampler._look()
    assert say(process) == "small"
    usage = sampler.stop()
    own = psutil.Process(process.pid).memory_info().rss
    assert usage.memory is not None
    # What Python itself takes, which is what is left after the block went, is small beside it.
    assert size <= usage.memory <= size + 2 * own
    assert usage.memory == usage.parts[0].memory
    assert usage.memory_kind == ("pss" if sys.platform == "linux" else "rss")
    assert usage.processes == 1


def test_what_ended_before_the_watch_was_not_measured(start: Start) -> None:
    process = start("pass")
    process.wait()
    sampler = Sampler(lambda: {process.pid: []}, {process.pid: "backend-0"})
    sampler.start()
    usage = sampler.stop()
    (part,) = usage.parts
    assert (part.processes, part.memory, part.cpu, part.ended) == (0, None, None, True)
    assert (usage.memory, usage.cpu) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux counts what it drops")
def test_connects_that_a_full_queue_dropped_are_counted() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((ADDRESS, 0), backlog=1))
        sampler = Sampler(dict, {})
        sampler.start()
        for _ in range(5):  # two are connected and wait to be accepted: one more than the backlog
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        dropped = sampler.stop().listen_drops
    assert dropped is not None
    # Of the whole machine: others may have dropped some, too.
    assert dropped.drops >= dropped.overflows >= 3


def test_what_goes_wrong_in_the_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_winserve.deployment.sampler.EVERY", 0.001)
    looks: list[dict[int, list[int]]] = [{}, {}, {}]

    def families() -> dict[int, list[int]]:
        if not looks:
            raise LookupError("no more looks")
        return looks.pop()

    sampler = Sampler(families, {})
    sampler.start()
    eventually(lambda: not sampler._thread.is_alive())
    with pytest.raises(LookupError, match="no more looks"):
        sampler.stop()


def used(usage: SiteUsage | None) -> SiteUsage:
    assert usage is not None
    return usage


def test_each_part_of_a_site_is_told(lab: Lab) -> None:
    with lab.serve("nginx2-tornado") as site:
        result = site.load(users=4, count=2000)
    usage = used(result.site)
    assert [part.name for part in usage.parts] == ["nginx", "backend-0", "backend-1"]
    # nginx's master and its worker.
    assert [part.processes for part in usage.parts] == [2, 1, 1]
    assert usage.processes == 4
    assert all(part.memory for part in usage.parts)
    assert not any(part.ended for part in usage.parts)
    if tells_cpu_of_others():
        assert all(part.cpu is not None and part.cpu > 0 for part in usage.parts)
        assert usage.cpu is not None
        assert usage.cpu <= usage.seconds * (os.cpu_count() or 1) + 0.1  # counted in ticks of 10 ms
    else:
        assert usage.cpu is None
    assert "site: 4 processes" in result.summary()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: gunicorn does not run on Windows")
def test_the_workers_of_a_server_count(lab: Lab) -> None:
    with lab.serve("gunicorn:workers=3") as site:
        # It starts one after the other, and the first one serves.
        master = psutil.Process(site.backends[0].pid)
        eventually(lambda: len(master.children()) == 3)
        usage = used(site.load(users=4, count=200).site)
    assert usage.processes == 4


def test_a_backend_that_is_killed_keeps_what_was_seen(lab: Lab) -> None:
    with lab.serve("nginx2-tornado") as site:
        pid = site.backends[0].pid
        site.deployment.watch()
        os.kill(pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        eventually(site.deaths)
        usage = used(site.deployment.usage())
        ended = {part.name: part.ended for part in usage.parts}
        assert ended == {"nginx": False, "backend-0": True, "backend-1": False}
        assert usage.parts[1].memory
