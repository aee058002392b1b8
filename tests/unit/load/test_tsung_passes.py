"""What a log of tsung says of journeys."""

from __future__ import annotations

import pytest

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engines.tsung.log import TsungLog
from pytest_winserve.load.engines.tsung.passes import passes_of
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.steps import Step
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.journeys import JourneyShare, Unexpected
from pytest_winserve.load.results.tsung_report import Block, Counter

PLAN = Plan.make(
    count=9,
    journeys=[Journey("order", [Step(get="/"), Step(get="/orders", expect={"text": "Yours"})])],
)
GOOD = {
    "winserve_pass_0_begun": 9,
    "winserve_pass_0_complete": 5,
    "winserve_at_0_sent": 9,
    "winserve_at_0_200": 8,
    "winserve_at_0_closed": 1,
    "winserve_at_1_sent": 8,
    "winserve_at_1_200": 5,
    "winserve_at_1_unexpected": 1,
    "winserve_unmet_1_1_200": 1,
}


def log(counts: dict[str, int]) -> TsungLog:
    lines = tuple(Counter(name, n, n) for name, n in counts.items())
    return TsungLog("tsung.log", None, (Block(1, lines),), ended=True, cut="")


def test_passes_are_told_by_step() -> None:
    outcomes = {"200": 13, "closed_early": 1, "unexpected": 1, "timeout": 2}
    found = passes_of(PLAN, log(GOOD), outcomes)
    assert {label: share.outcomes for label, share in found.by_request.items()} == {
        "GET /": {"200": 8, "closed_early": 1},
        "GET /orders": {"200": 5, "timeout": 2, "unexpected": 1},
    }
    assert found.journeys == (JourneyShare("order", 9, 5, {"GET /": 1, "GET /orders": 3}),)
    assert found.unexpected == (Unexpected("GET /orders", "text 'Yours'", "200", 1),)


def test_what_several_steps_may_have_lost_is_no_steps() -> None:
    counts = {**GOOD, "winserve_at_0_sent": 10, "winserve_pass_0_begun": 10}
    outcomes = {"200": 13, "closed_early": 1, "unexpected": 1, "timeout": 2, "refused": 1}
    found = passes_of(PLAN, log(counts), outcomes)
    assert [share.ended for share in found.by_request.values()] == [9, 6]
    assert found.journeys[0].broken == {"GET /": 2, "GET /orders": 3}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("'winserve_inexact_SID'", "the site sets the cookie SID with a Domain"),
        ("winserve_cookies_stayed", "this tsung keeps cookies in a way that is not known"),
    ],
)
def test_a_cookie_that_tsung_would_not_treat_as_others_do(name: str, told: str) -> None:
    with pytest.raises(LoadError, match=told):
        passes_of(PLAN, log({**GOOD, name: 1}), {})
