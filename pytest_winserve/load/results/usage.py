"""What a site cost during a load: the memory and CPU of all its processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pytest_winserve.load.measures.listen_queues import ListenDrops
from pytest_winserve.load.measures.units import format_cpu, format_memory

MemoryKind = Literal["pss", "rss"]
"""How memory was counted. "pss": what processes share is divided among them, so that the sum is
what the site takes (Linux). "rss": it counts in each of them, so that the sum is too high."""


@dataclass(frozen=True, slots=True)
class PartUsage:
    """The front or one backend, with all the processes that it started.

    `processes` is the most that were seen at once, `memory` the most bytes that they had together,
    `cpu` the seconds that they computed; None where the system does not tell. `ended`: it ended
    during the load, and the figures are what was last seen of it.
    """

    name: str
    processes: int
    memory: int | None
    cpu: float | None
    ended: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class SiteUsage:
    """All processes of a site during a load, warm-up included.

    `memory` is the most bytes that all parts had at one moment, which is at most the sum of the
    parts' own. `samples` looks were taken over `seconds`. `listen_drops` is what the kernel of its
    machine counted meanwhile; None where that is not known.
    """

    parts: tuple[PartUsage, ...]
    processes: int
    memory: int | None
    memory_kind: MemoryKind
    samples: int
    seconds: float
    listen_drops: ListenDrops | None = None

    @property
    def cpu(self) -> float | None:
        """CPU seconds of all parts; None where one is not known."""
        known = [part.cpu for part in self.parts if part.cpu is not None]
        return sum(known) if known and len(known) == len(self.parts) else None

    def summary(self) -> str:
        """`site: 6 processes, memory 183 MiB (PSS), CPU 8.12 s`"""
        memory, cpu = format_memory(self.memory), format_cpu(self.cpu)
        kind = f" ({self.memory_kind.upper()})" if self.memory is not None else ""
        noun = "process" if self.processes == 1 else "processes"
        return f"site: {self.processes} {noun}, memory {memory}{kind}, CPU {cpu}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `cpu` is there for readers of the file."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        parts = [part.to_dict() for part in self.parts]
        drops = None if self.listen_drops is None else self.listen_drops.to_dict()
        return own | {"parts": parts, "cpu": self.cpu, "listen_drops": drops}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SiteUsage:
        """The inverse of to_dict."""
        own = {f.name: data[f.name] for f in fields(cls) if f.name != "listen_drops"}
        drops = data.get("listen_drops")  # older files do not have it
        return cls(
            **own | {"parts": tuple(PartUsage(**part) for part in data["parts"])},
            listen_drops=None if drops is None else ListenDrops(**drops),
        )
