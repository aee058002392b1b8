"""The environment of a run: what serves here is asked once."""

from __future__ import annotations

import pytest

from pytest_winserve.deployment import this_machine
from pytest_winserve.session.environment import RunEnvironment
from pytest_winserve.session.results import RunResults
from pytest_winserve.session.settings import resolve


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time that the fronts are asked for their versions: which nginx was meant."""
    calls: list[str] = []

    def front_versions(which: str) -> dict[str, str]:
        calls.append(which)
        return {"nginx": "1.31.3 (wheel)", "apache": "missing: no Apache"}

    monkeypatch.setattr(this_machine, "front_versions", front_versions)
    return calls


def test_header_and_results_ask_the_fronts_once(asked: list[str]) -> None:
    environment = RunEnvironment(resolve({"nginx": "wheel"}, lambda key: None))
    assert asked == []
    header = environment.header()
    assert "winserve: nginx 1.31.3 (wheel)" in header
    assert not any("apache" in line for line in header)
    results = RunResults(environment)
    assert results.report() is results.report()
    assert results.report().run.environment["versions"]["nginx"] == "1.31.3 (wheel)"
    assert environment.header() == header
    assert asked == ["wheel"]


def test_a_run_on_another_machine_does_not_ask_the_fronts_here(asked: list[str]) -> None:
    environment = RunEnvironment(resolve({"host": "ssh:there"}, lambda key: None))
    environment.header()
    assert "nginx" not in environment.data({})["versions"]
    assert asked == []


def test_header_and_results_name_the_headers_of_a_run_without_their_values(
    asked: list[str],
) -> None:
    given = {
        "header": ["X-Api-Key: s3cr3t"],
        "cookie": ["session=s3cr3t"],
        "auth": "shop:s3cr3t",
        "host_header": "shop.example",
    }
    environment = RunEnvironment(resolve(given, lambda key: None))
    header = "\n".join(environment.header())
    assert "every request carries X-Api-Key, Cookie, Authorization, Host" in header
    data = environment.data({})
    assert {name: data["settings"][name] for name in given} == {
        "header": ["X-Api-Key: (not shown)"],
        "cookie": ["session=(not shown)"],
        "auth": "(not shown)",
        "host_header": "shop.example",
    }
    assert "s3cr3t" not in header + str(data)
