"""The host `vagrant` on a real virtual machine: set up, served from, lost, destroyed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_winserve.shipping.contents import PACKAGE
from tests.kit.commands import Started
from tests.kit.components import needs
from tests.kit.order import begun_first
from tests.kit.waiting import eventually

from .conftest import COMMAND_SECONDS, Inside

pytestmark = needs("vagrant")

# What is emulated takes a multiple of the time that a lab gives a site to start.
SERVE = """
import sys
from pytest_winserve import Lab
with Lab("vagrant", start_timeout=600, load_from=sys.argv[1]) as lab:
    with lab.serve("nginx2-tornado") as site:
        result = site.load(users=2, count=40)
        print(site.machine["os"].partition("-")[0], result.ledger.lines()[1])
        print(dict(result.outcomes), result.ledger.unaccounted)
    with lab.serve("tornado") as site:
        print(site.probe().blocked_fraction)
"""
SERVED = [
    "Linux front's log 40, backend 0 20, backend 1 20",
    "{'200': 40} 0",
    "1.0",
]
HOLD = """
import time
from pytest_winserve import Lab
with Lab("vagrant", start_timeout=600).serve("tornado") as site:
    print("serves", flush=True)
    time.sleep(3600)
"""
# Says when it has begun, and what it is told when the machine goes away.
LOSE = """
from pytest_winserve import Lab
from pytest_winserve.errors import HostLost
with Lab("vagrant", start_timeout=600, load_from="host").serve("tornado") as site:
    site.observer.progress = lambda text: print(text, flush=True)
    try:
        site.load(users=1, duration=3600)
    except HostLost as error:
        print("LOST", error, flush=True)
"""


@begun_first
def test_a_machine_serves(inside: Inside, tmp_path: Path) -> None:
    """One test, as there is to be one machine at a time, whose start takes minutes. Each step
    builds on the one before."""
    done = inside.winserve("setup", "vagrant")
    assert done.status == 0, done.out + done.err
    assert "is not_created; it is brought up" in done.out
    assert "ready: Linux-" in done.out

    serves(inside, "here")
    a_killed_lab_leaves_it_idle(inside)
    what_is_not_over_there_is_told(inside, tmp_path)

    # Suspended by hand: it is resumed.
    (name,) = inside.domains()
    assert inside.run("virsh", "suspend", name).status == 0
    serves(inside, "host")

    # Destroyed by hand, during a load: that is told, and the lab gives up what is left of it.
    with running(inside, sys.executable, "-c", LOSE) as lab:
        lab.wait_for(" sent", COMMAND_SECONDS)
        assert inside.run("virsh", "destroy", name).status == 0
        assert inside.run("virsh", "undefine", name).status == 0
        lab.wait_for("LOST the gateway to the host vagrant:default was lost")
    assert inside.domains("--all") == []
    done = inside.winserve("setup", "vagrant", "--destroy")
    assert done.status == 0, done.err
    assert inside.winserve("setup", "vagrant", "--destroy").out.startswith("there is no machine")


def serves(inside: Inside, load_from: str) -> None:
    done = inside.run(sys.executable, "-c", SERVE, load_from)
    assert done.status == 0, done.out + done.err
    assert done.out.splitlines() == SERVED


def a_killed_lab_leaves_it_idle(inside: Inside) -> None:
    with running(inside, sys.executable, "-c", HOLD) as lab:
        lab.wait_for("serves", COMMAND_SECONDS)
        assert pythons(inside) > 0
        lab.process.kill()
    eventually(lambda: not pythons(inside), seconds=COMMAND_SECONDS)
    assert len(inside.domains()) == 1


def pythons(inside: Inside) -> int:
    """How many run over there."""
    folder = str(inside.folder / "cache" / "pytest-winserve" / "vagrant")
    look = "readlink /proc/[0-9]*/exe | grep -c /python"
    return int(inside.run("vagrant", "ssh", "-c", look, VAGRANT_CWD=folder).out)


def what_is_not_over_there_is_told(inside: Inside, tmp_path: Path) -> None:
    done = inside.winserve("up", "tornado", "--host", "vagrant:default//python=no-such-python")
    assert done.status == 3, done.out + done.err
    assert "the shell over there finds no Python" in done.err
    # Another version of this package than the one that was brought there.
    other = tmp_path / "other"
    shutil.copytree(PACKAGE, other / PACKAGE.name)
    with (other / PACKAGE.name / "site.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    done = inside.winserve("up", "tornado", "--host", "vagrant", PYTHONPATH=str(other))
    assert done.status == 3, done.out + done.err
    assert "pytest-winserve is not over there" in done.err
    assert "--winserve-provision" in done.err


@contextmanager
def running(inside: Inside, *command: str) -> Iterator[Started]:
    started = inside.start(*command)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
