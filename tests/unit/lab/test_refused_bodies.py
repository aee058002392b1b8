"""What is told of a 413 that a front gave by itself."""

from __future__ import annotations

import pytest

from pytest_winserve.lab.refused_bodies import refused_bodies
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.results.ledger import FrontCounts
from pytest_winserve.topology import Topology


def told(topology: str, size: int, own: dict[int, int]) -> list[str]:
    plan = Plan.make(count=3, requests=["/", Request("/up", method="POST", body=bytes(size))])
    return refused_bodies(Topology.parse(topology), FrontCounts({413: 3}, own=own), plan)


@pytest.mark.parametrize(
    ("topology", "size", "wider"),
    [
        ("nginx2-waitress", 2_000_000, "nginx2-waitress:front.body_limit=2"),
        ("nginx2:front.body_limit=3", 3 * 1024 * 1024 + 1, "nginx2:front.body_limit=4"),
        ("apache1:front.body_limit=1:front.threads=9", 2_000_000,
         "apache1:front.threads=9:front.body_limit=2"),
    ],
)  # fmt: skip
def test_the_topology_that_lets_it_through(topology: str, size: int, wider: str) -> None:
    (note,) = told(topology, size, {413: 2})
    assert f" 2 times: a body of {size} bytes is over its limit, and no backend saw" in note
    assert note.endswith(f"; {wider} lets them through)")
    assert Topology.parse(wider).all_front_options["body_limit"] != 1


def test_a_413_of_the_app_is_the_apps() -> None:
    assert told("nginx2", 2_000_000, {}) == []
    assert told("nginx2", 2_000_000, {502: 1}) == []


def test_without_a_front() -> None:
    plan = Plan.make(count=1, path="/")
    assert refused_bodies(Topology.parse("waitress"), None, plan) == []
