"""Loads that Locust sends to real sites: the ledger adds up as with the built-in engine."""

from __future__ import annotations

import pytest

from pytest_winserve import Lab
from tests.kit.components import needs
from tests.kit.loads import adds_up, load_on_four

pytestmark = needs("locust")


@pytest.mark.parametrize("keepalive", [True, False])
def test_what_locust_sent_is_what_nginx_logged_and_the_backends_ran(
    lab: Lab, keepalive: bool
) -> None:
    result = load_on_four(lab, "locust", keepalive)
    # By the mark of each answer, not from nginx's log, which has no times.
    assert all(share.total.count == share.answers for share in result.by_backend.values())


def test_faults_of_an_app_are_counted_each_and_add_up(lab: Lab) -> None:
    faults = ["status=503", "reset=headers", "size=9&reset=body", "chunks=3&size=9", "status=404"]
    paths = ["/test", *(f"/misbehave?{fault}" for fault in faults)]
    with lab.serve("flask") as site:
        result = site.load(users=4, count=120, requests=paths, engine="locust", warmup=0.2)
    adds_up(result)
    assert result.sent == 120
    assert {"200", "503", "404"} < set(result.outcomes)
    assert result.answered < result.sent
