"""What is told of requests that a front refused by itself, because of the size of their bodies."""

from __future__ import annotations

import math
from dataclasses import replace

from pytest_winserve.fronts import get_front
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.ledger import FrontCounts
from pytest_winserve.topology import Topology

TOO_LARGE = 413
LIMIT = "body_limit"
MEGABYTE = 1024 * 1024


def refused_bodies(topology: Topology, front: FrontCounts | None, plan: Plan) -> list[str]:
    """A note for the ledger of a load of this plan, where the front answered 413 without asking a
    backend. An app that answers 413 has its own limit, of which nothing is said here."""
    count = 0 if front is None else front.own.get(TOO_LARGE, 0)
    if not count:
        return []
    times = "once" if count == 1 else f"{count} times"
    largest = plan.largest_body
    note = (
        f"413 by {topology.front} {times}: a body of {largest} bytes is over its limit, and no "
        "backend saw these requests"
    )
    limit = topology.all_front_options.get(LIMIT)
    if topology.front is None or limit is None:  # a front of another package
        return [note]
    option = next(o for o in get_front(topology.front).options if o.name == LIMIT)
    enough = math.ceil(largest / MEGABYTE)
    given = [pair for pair in topology.front_options if pair[0] != LIMIT]
    wider = replace(
        topology, front_options=(*given, (LIMIT, enough if enough <= option.maximum else 0))
    )
    return [f"{note} (front.{LIMIT}={limit}, in MB; {wider} lets them through)"]
