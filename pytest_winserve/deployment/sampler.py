"""Watches the processes of a deployment while a load runs, on the machine where they are.

A look costs about a tenth of a millisecond and half of one for each process of the site, once a
second, in a thread that waits otherwise. CPU is read at the start and at the end and subtracted;
the looks between are for memory, and for what ends meanwhile.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from pytest_winserve.load.measures import listen_queues
from pytest_winserve.load.results.usage import MemoryKind, PartUsage, SiteUsage
from pytest_winserve.system.windows import tells_cpu_of_others

EVERY = 1.0
"""Seconds between two looks."""

TELLS_OF_CHILDREN = sys.platform != "win32"
"""POSIX adds the time of a child that was waited for to its parent's: nothing that ends is lost."""

Families = Callable[[], Mapping[int, list[int]]]
"""The living processes of a deployment (pids) by the one, started by the lab, that they come of."""


@dataclass(slots=True)
class _Part:
    """What was seen of one process that the lab started, and of its descendants."""

    name: str
    times: dict[psutil.Process, float] = field(default_factory=dict)
    first: float = 0.0
    processes: int = 0
    memory: int | None = None
    ended: bool = False
    forgets: bool = False

    @property
    def cpu(self) -> float:
        return sum(self.times.values())

    def take(self, root: int, times: Mapping[psutil.Process, float]) -> None:
        """Note CPU times. What has ended counts as last seen, unless its parent has its time."""
        self.ended = all(process.pid != root for process in times)
        if self.ended or not TELLS_OF_CHILDREN:
            self.times |= times
        else:
            self.times = dict(times)


def _knows_cpu(part: _Part) -> bool:
    return part.processes > 0 and not part.forgets and tells_cpu_of_others()


def _forgets_children(pid: int) -> bool:
    """Whether a process ignores the end of its children, as Apache's mod_cgid does: Linux then adds
    their time to nobody's."""
    if sys.platform != "linux":
        return False
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:  # it ended meanwhile
        return False
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    return bool(ignored >> (signal.SIGCHLD - 1) & 1)


class Sampler:
    """Watches from `start` to `stop`; `names` has the parts by the pid that the lab started."""

    def __init__(self, families: Families, names: Mapping[int, str]) -> None:
        self._families = families
        self._parts = {pid: _Part(name) for pid, name in names.items()}
        self._processes: dict[int, psutil.Process] = {}
        self._kind: MemoryKind = "pss"
        self._memory: int | None = None
        self._most = 0
        self._samples = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="winserve-sampler")
        self._error: BaseException | None = None
        self._began = 0.0
        self._drops: listen_queues.ListenDrops | None = None

    def start(self) -> None:
        """Take the first look, and go on looking."""
        self._began = time.perf_counter()
        self._drops = listen_queues.listen_drops()
        self._kind = self._memory_kind()
        self._look()
        for part in self._parts.values():
            part.first = part.cpu
        self._thread.start()

    def stop(self) -> SiteUsage:
        """Take the last look, and tell what was seen."""
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._look()
        before, now = self._drops, listen_queues.listen_drops()
        return SiteUsage(
            parts=tuple(
                PartUsage(
                    part.name,
                    part.processes,
                    part.memory,
                    part.cpu - part.first if _knows_cpu(part) else None,
                    part.ended,
                )
                for part in self._parts.values()
            ),
            processes=self._most,
            memory=self._memory,
            memory_kind=self._kind,
            samples=self._samples,
            seconds=time.perf_counter() - self._began,
            listen_drops=None if before is None or now is None else now.since(before),
        )

    def _watch(self) -> None:
        try:
            while not self._ended.wait(EVERY):
                self._look()
        except BaseException as error:  # raised again where somebody sees it
            self._error = error

    def _look(self) -> None:
        families = self._families()
        whole, everybody = 0, 0
        for root, part in self._parts.items():
            memory, times = 0, {}
            for pid in families.get(root, ()):
                try:
                    process = self._process(pid)
                    used = process.cpu_times()
                    memory += self._memory_of(process)
                except psutil.Error:  # it ended meanwhile
                    continue
                part.forgets = part.forgets or _forgets_children(pid)
                own = used.user + used.system
                # A process that is waited for moves from one of these to the other.
                times[process] = own + used.children_user + used.children_system
            part.take(root, times)
            part.processes = max(part.processes, len(times))
            if times:
                part.memory = max(part.memory or 0, memory)
            whole += memory
            everybody += len(times)
        if everybody:
            self._memory = max(self._memory or 0, whole)
        self._most = max(self._most, everybody)
        self._samples += 1

    def _process(self, pid: int) -> psutil.Process:
        """The process with this pid now: not one that had it before."""
        known = self._processes.get(pid)
        if known is None or not known.is_running():
            known = self._processes[pid] = psutil.Process(pid)
        return known

    def _memory_kind(self) -> MemoryKind:
        """PSS where the system tells it of every process, which asks for the same user."""
        for pids in self._families().values():
            for pid in pids:
                try:
                    getattr(psutil.Process(pid).memory_full_info(), "pss")  # noqa: B009
                except psutil.NoSuchProcess:
                    continue
                except (AttributeError, OSError, psutil.AccessDenied):
                    return "rss"
        return "pss"

    def _memory_of(self, process: psutil.Process) -> int:
        if self._kind == "pss":
            shared: int = getattr(process.memory_full_info(), "pss")  # noqa: B009
            return shared
        resident: int = process.memory_info().rss
        return resident
