"""Which worker of xdist gets which test: those of one topology go to the same one.

A scheduler of our own, because xdist's `--dist=loadgroup` has to be on the command line for the
workers to see it, and loses its groups with pytest 9.2 (pytest-dev/pytest-xdist#1386).
"""

from __future__ import annotations

from itertools import pairwise

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from pytest_winserve.errors import UsageError
from pytest_winserve.topology import Topology


class TopologyScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Sends the tests of a topology to one worker, where they share its site; others anywhere."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The topology that a test's parameters name, else the test itself."""
    _, bracket, parameters = nodeid.partition("[")
    if not bracket:
        return nodeid
    words = parameters.removesuffix("]").split("-")
    # A topology has at most one dash: nginx4-tornado is tried before nginx4 and tornado.
    pairs = [f"{first}-{second}" for first, second in pairwise(words)]
    for candidate in [*pairs, *words]:
        try:
            return str(Topology.parse(candidate))
        except UsageError:
            continue
    return nodeid
