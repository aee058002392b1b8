"""What the project exists to show, from the command line's or the fixture's outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_winserve import Lab
from pytest_winserve.report.store import read_json
from tests.kit.components import needs

pytestmark = needs("minutes")


def stock_checks(
    pytester: pytest.Pytester, topologies: int, several: int, *options: str
) -> dict[str, list[dict[str, Any]]]:
    """Run the stock checks with a small load; the records by topology. All must pass: four in each,
    and a fifth where there are several processes."""
    report = Path(pytester.path) / "report"
    done = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--pyargs", "pytest_winserve.checks", "--winserve-users=50",
        "--winserve-duration=1", f"--winserve-report={report}", *options,
    )  # fmt: skip
    done.assert_outcomes(passed=4 * topologies + several)
    found: dict[str, list[dict[str, Any]]] = {}
    for test in read_json(report / "results.json")["tests"]:
        found.setdefault(test["topology"], []).append(test)
    return found


def blocked(tests: list[dict[str, Any]]) -> float:
    (verdict,) = [verdict for test in tests for verdict in test["verdicts"]]
    fraction: float = verdict["blocked_fraction"]
    return fraction


def test_the_topologies_of_the_article(pytester: pytest.Pytester) -> None:
    found = stock_checks(pytester, 5, 2, "--winserve-topology=article")
    assert {name: blocked(tests) for name, tests in found.items()} == {
        "flask": 0,
        "nginx1": 0,
        "nginx4": 0,
        "tornado": 1,
        "nginx4-tornado": 0.25,
    }
    for tests in found.values():
        (result,) = [result for test in tests for result in test["results"]]
        assert result["ledger"]["unaccounted"] == 0


def test_a_foreign_application(pytester: pytest.Pytester) -> None:
    found = stock_checks(
        pytester,
        2,
        1,
        "--winserve-topology=nginx4,waitress",
        "--winserve-app=httpbin:app",
        "--winserve-slow=/delay/1",
        "--winserve-fast=/get",
    )
    assert {name: blocked(tests) for name, tests in found.items()} == {"nginx4": 0, "waitress": 0}


def test_500_users_on_nginx4_are_all_accounted_for() -> None:
    with Lab().serve("nginx4") as site:
        result = site.load(users=500, duration=10)
        # The sum over the backends is what nginx says they answered, to the request.
        ran = sum(backend.requests or 0 for backend in site.backends)
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0, result.ledger.lines()
    assert result.answered <= ran <= result.sent
    assert result.answered >= 500


DELAY = 1.0
SAME = 0.1
"""How far the engines' means may lie apart, relative to the delay. The app sleeps for DELAY, which
nobody queues for: 500 users with 4 s to think send about 100 requests a second, a tenth of what
four backends take. What is beside it (Flask, nginx, the engine, whatever else this machine does)
takes 10 to 40 ms on two busy cores, however long the delay is; an engine that times something
else, such as the thinking, is far off."""


@needs("locust", "tsung")
def test_the_engines_agree_on_counts_and_mean() -> None:
    results = {}
    with Lab().serve("nginx4") as site:
        for engine in ("builtin", "locust", "tsung"):
            results[engine] = site.load(
                users=500,
                count=1500,
                think_time=4,
                connect_rate=125,
                path=f"/sleep?seconds={DELAY}",
                engine=engine,
            )
    for engine, result in results.items():
        assert result.engine == engine
        assert (result.sent, result.outcomes) == (1500, {"200": 1500})
        assert result.total.count == 1500
        # Keep-alive: a connection for each user.
        assert result.connect.count == 500
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0, result.ledger.lines()
        sides = {side.name: side.seen for side in result.ledger.sides}
        assert sides.pop("front's log") == 1500
        # Round robin of nginx' one worker.
        assert sides == {f"backend {i}": 375 for i in range(4)}
        assert not result.limited
    means = {engine: result.total.mean or 0.0 for engine, result in results.items()}
    assert min(means.values()) >= DELAY
    assert max(means.values()) - min(means.values()) <= SAME * DELAY, means
