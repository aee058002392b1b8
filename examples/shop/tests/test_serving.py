"""How the shop is served: questions that only a running server can answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from pytest_winserve import Request, Site

Factory = Callable[..., AbstractContextManager[Site]]

ORDER = Request(
    "/orders",
    method="POST",
    headers={"Content-Type": "application/json"},
    body=json.dumps({"product": "tea", "quantity": 1}).encode(),
    weight=1,
)
MIX = [Request("/health", weight=4), Request("/products", weight=5), ORDER]


@pytest.fixture(scope="session", autouse=True)
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database of the test run's own. The servers inherit the variable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_DATABASE", str(tmp_path_factory.mktemp("shop") / "shop.sqlite"))
        yield


def orders(site: Site, url: str = "/orders") -> int:
    count: int = site.get(url, timeout=30).json()["count"]
    return count


def test_a_report_does_not_block_the_shop(winserve: Site) -> None:
    verdict = winserve.probe()
    assert verdict.non_blocking, verdict.summary()


def test_an_order_given_to_one_backend_is_seen_by_all(winserve: Site) -> None:
    before = orders(winserve)
    order = {"product": "cup", "quantity": 3}
    assert winserve.client.post("/orders", json=order, timeout=30).status_code == 201
    seen = [orders(winserve, f"{backend.url}/orders") for backend in winserve.backends]
    assert seen == [before + 1] * 4


def test_every_order_under_load_is_kept(winserve: Site) -> None:
    before = orders(winserve)
    result = winserve.load(users=10, count=500, requests=MIX)
    result.require("error_rate == 0%", "p95 < 5s", "unaccounted == 0")
    assert result.sent == 500
    assert orders(winserve) - before == result.outcomes["201"]


def test_a_new_connection_for_each_request(winserve: Site) -> None:
    result = winserve.load(users=10, duration=2, keepalive=False)
    result.require("error_rate == 0%", "connect.p95 < 1s")
    assert result.connect.count == result.answered


@pytest.mark.winserve(topology="waitress:threads=8")
def test_eight_reports_at_once_and_no_more(winserve: Site) -> None:
    capacity = winserve.capacity(limit=16)
    assert capacity.value == 8
    assert not capacity.at_least
    assert capacity.as_declared


def test_tornado_runs_one_request_per_process(winserve_factory: Factory) -> None:
    with winserve_factory("tornado") as one, winserve_factory("nginx4-tornado") as four:
        assert one.probe().blocked_fraction == 1.0
        assert four.probe().blocked_fraction == 0.25
        assert (one.capacity().value, four.capacity().value) == (1, 4)
