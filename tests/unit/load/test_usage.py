"""What a site cost, as a value: it travels through files and says what was not measured."""

from __future__ import annotations

import json
from dataclasses import replace

from pytest_winserve.load.measures.listen_queues import ListenDrops
from pytest_winserve.load.measures.units import format_cpu, format_memory
from pytest_winserve.load.results.usage import PartUsage, SiteUsage

FRONT = PartUsage("nginx", 2, 6 * 2**20, 1.5)


def usage(*parts: PartUsage) -> SiteUsage:
    return SiteUsage(parts, 3, 40 * 2**20, "pss", 4, 3.2)


def test_it_survives_a_file() -> None:
    made = usage(FRONT, PartUsage("backend-0", 1, None, None, ended=True))
    assert SiteUsage.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    counted = replace(made, listen_drops=ListenDrops(overflows=3, drops=4))
    assert SiteUsage.from_dict(json.loads(json.dumps(counted.to_dict()))) == counted


def test_a_file_from_before_drops_were_counted() -> None:
    older = usage(FRONT).to_dict()
    del older["listen_drops"]
    assert SiteUsage.from_dict(older) == usage(FRONT)


def test_cpu_is_known_when_it_is_known_of_all() -> None:
    assert usage(FRONT, PartUsage("backend-0", 1, 1, 0.25)).cpu == 1.75
    assert usage(FRONT, PartUsage("backend-0", 1, 1, None)).cpu is None
    assert usage().cpu is None


def test_words() -> None:
    assert usage(FRONT).summary() == "site: 3 processes, memory 40 MiB (PSS), CPU 1.5 s"
    unknown = SiteUsage((), 1, None, "rss", 2, 1.0)
    assert unknown.summary() == "site: 1 process, memory not measured, CPU not measured"
    assert format_memory(0) == "0 MiB"
    assert format_memory(999 * 2**20) == "999 MiB"
    assert format_memory(1536 * 2**20) == "1.5 GiB"
    assert format_cpu(0.0) == "0 s"
