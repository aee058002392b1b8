"""The named sets, as the machine of the tests can run them."""

from __future__ import annotations

from pytest_winserve.hosts import open_host
from pytest_winserve.lab.available import Surveys, expand


def test_the_sets() -> None:
    host = open_host("local")
    surveys = Surveys()
    everything = [str(each) for each in expand("all", host, None, surveys)]
    settings = [str(each) for each in expand("servers", host, None, surveys)]
    assert {"flask", "nginx4"} <= set(everything) <= set(settings)
    assert {"waitress:threads=8", "nginx4-waitress:threads=8"} <= set(settings)
    assert "command" not in everything
    assert "command" in [str(each) for each in expand("all", host, "serve {port}", surveys)]
