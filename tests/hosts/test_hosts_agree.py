"""The same tests on several hosts in one run come to the same verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import WinserveError
from pytest_winserve.hosts import open_host, require_host
from pytest_winserve.hosts.wine.layout import Layout
from pytest_winserve.report.store import read_json
from tests.kit.commands import PYTEST_OPTIONS, run
from tests.kit.components import needs

pytestmark = pytest.mark.usefixtures("traces")


HOSTS = ["local", "wine", "container"]


@pytest.fixture
def _hosts(engine: str, wine: Layout) -> None:
    """The user's own, as they are: what an earlier version has left of them cannot be used."""
    for name in HOSTS:
        host = open_host(name)
        try:
            with host.open():
                require_host(host)
        except WinserveError as wrong:
            pytest.skip(str(wrong))


@needs("container", "wine")
@pytest.mark.usefixtures("_hosts")
def test_nginx4_on_three_hosts() -> None:
    done = run(
        "pytest", *PYTEST_OPTIONS,
        "--pyargs", "pytest_winserve.checks", f"--winserve-host={','.join(HOSTS)}",
        "--winserve-topology=nginx4", "--winserve-users=20", "--winserve-duration=2",
        "--winserve-report=report", seconds=900,
    )  # fmt: skip
    assert done.status == 0, done.out
    assert "15 passed" in done.out
    tests = read_json(Path("report", "results.json"))["tests"]
    for host in HOSTS:
        mine = [test for test in tests if test["host"] == host]
        (verdict,) = [each for test in mine for each in test["verdicts"]]
        (capacity,) = [each for test in mine for each in test["capacities"]]
        (result,) = [each for test in mine for each in test["results"]]
        assert (verdict["blocked_fraction"], capacity["at_least"]) == (0, True), host
        assert result["outcomes"].keys() == {"200"}, host
        assert result["ledger"]["unaccounted"] == 0, host
