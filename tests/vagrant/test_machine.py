"""The host `vagrant` on a real virtual machine: set up, served from, lost, destroyed."""

from __future__ import annotations

import sys

import pytest

from .conftest import Inside

pytestmark = pytest.mark.vagrant

# What is emulated takes a multiple of the time that a lab gives a site to start.
SERVE = """
import sys
from pytest_winserve import Lab
with Lab("vagrant", start_timeout=600, load_from=sys.argv[1]).serve("nginx2-tornado") as site:
    print(site.machine["os"].partition("-")[0])
with Lab("vagrant", start_timeout=600, load_from=sys.argv[1]).serve("tornado") as site:
    print(site.probe().blocked_fraction)
    result = site.load(users=4, count=100)
    print(dict(result.outcomes), result.ledger.unaccounted)
"""


def test_a_box_that_cannot_be_had(inside: Inside) -> None:
    other = {"WINSERVE_BOX": "other", "WINSERVE_BOX_URL": "/no/such.box"}
    done = inside.winserve("setup", "vagrant", **other)
    assert done.status == 3, done.err
    assert "its box other cannot be had from /no/such.box" in done.err
    assert "to get it: WINSERVE_BOX_URL" in done.err


def test_a_provider_that_is_not_there(inside: Inside) -> None:
    done = inside.winserve("setup", "vagrant", WINSERVE_PROVIDER="virtualbox")
    assert done.status == 3, done.err
    assert "there is no provider that runs it" in done.err


def test_a_machine_serves(inside: Inside) -> None:
    """From nothing: each step builds on the one before, as the machine takes minutes to start."""
    done = inside.winserve("setup", "vagrant")
    assert done.status == 0, done.out + done.err
    assert "is not_created; it is brought up" in done.out
    assert "ready: Linux-" in done.out
    for where in ("here", "host"):
        done = inside.run(sys.executable, "-c", SERVE, where)
        assert done.status == 0, done.out + done.err
        assert done.out.splitlines() == ["Linux", "1.0", "{'200': 100} 0"]

    # Suspended by hand: it is resumed.
    (name,) = inside.run("virsh", "-q", "list", "--name").out.split()
    assert inside.run("virsh", "suspend", name).status == 0
    done = inside.run(sys.executable, "-c", SERVE, "host")
    assert done.status == 0, done.out + done.err

    done = inside.winserve("setup", "vagrant", "--destroy")
    assert done.status == 0, done.err
    assert inside.run("virsh", "-q", "list", "--all", "--name").out.split() == []
