"""Every statement of the article, judged by made measurements: held, not held, not to be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_winserve.article.experiments import EXPERIMENTS
from pytest_winserve.article.figures import measured as figures_of
from pytest_winserve.article.figures import published
from pytest_winserve.article.statements import STATEMENTS, Judgement, Measured
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.measurements import VerdictRecord
from tests.kit.results import Make, histogram

GOOD = {"200": 1000}


Outcomes = dict[str, dict[str, int]]


def found(make: Make, outcomes: Outcomes | None = None, *, refuses: bool = True) -> Measured:
    """All experiments: loads without an error but those of which the `outcomes` are given."""
    loads = {
        one.name: (outcomes or {}).get(one.name, GOOD) for one in EXPERIMENTS if not one.is_probe
    }
    return Measured(
        {
            "flask": VerdictRecord.from_dict(make.verdict()),
            "tornado": VerdictRecord.from_dict(make.verdict(blocked=8)),
        },
        {name: Result.from_dict(make.result(outcomes=each)) for name, each in loads.items()},
        refuses,
    )


def judged(measured: Measured) -> list[Judgement]:
    return [statement.judge(measured) for statement in STATEMENTS]


def test_what_the_article_saw_holds(make: Make) -> None:
    words = judged(
        found(
            make,
            {
                "flask-500": {"200": 800, "refused": 300},
                "nginx1-500": {"200": 500, "502": 1000},
                "nginx4-500": {"200": 1900},
                "nginx4-1000": {"200": 1500, "502": 9},
                "nginx4-tornado-1000": {"200": 2100},
            },
        )
    )
    assert [one.held for one in words] == [False, *[True] * 9, None]
    assert words[0].reason == (
        "of those that it lists, mod_wsgi, tornado, gevent, fastcgi, cgi run on Windows; gunicorn, "
        "uwsgi do not"
    )
    assert words[3].reason == "300 of 1100 requests were refused"
    assert words[4].reason == "66.7 % of the answers were 502"
    assert words[6].reason == "0.6 % of the answers were 502"


@pytest.mark.parametrize(
    ("number", "outcomes", "reason"),
    [
        (3, {"flask-500": GOOD}, "0 of 1000 requests were refused"),
        (4, {"nginx1-500": {"200": 99, "502": 1}}, "1 % of the answers were 502"),
        (4, {"nginx1-500": {"refused": 5}}, "0 % of the answers were 502"),
        (
            5,
            {"nginx4-500": {"200": 98, "502": 1, "reset": 1}},
            "1 x 502, 1 x reset of 100 requests",
        ),
        (5, {"nginx4-500": {"refused": 5}}, "nothing was answered"),
        (6, {"nginx4-1000": GOOD}, "none of 1000 answers was a 502"),
        (6, {"nginx4-1000": {"200": 1, "502": 1}}, "50 % of the answers were 502"),
        (7, {"nginx4-1000": {"200": 100}}, "83.3 /s with Tornado, 8.3 /s with Flask's own server"),
        (7, {"nginx4-1000": {"502": 9}}, "83.3 /s with Tornado, 0.0 /s with Flask's own server"),
        (3, {"flask-500": {"200": 999, "refused": 1}}, "1 of 1000 requests were refused"),
        (8, {"nginx4-500": {"200": 600}}, "50.0 /s by four behind nginx, 83.3 /s by one"),
        (9, {"nginx4-500": {"200": 600}}, "nginx4-500 50.0 /s with 0 % errors"),
        (9, {"nginx4-500": {"200": 2000, "502": 1}}, "nginx4-500 166.7 /s with 0.05 % errors"),
    ],
)
def test_what_did_not_hold(make: Make, number: int, outcomes: Outcomes, reason: str) -> None:
    one = STATEMENTS[number].judge(found(make, outcomes))
    assert one.held is False
    assert reason in one.reason


def test_probes_that_saw_the_other_thing(make: Make) -> None:
    known = found(make)
    verdicts = known.verdicts
    swapped = {"flask": verdicts["tornado"], "tornado": verdicts["flask"]}
    words = judged(replace(known, verdicts=swapped))
    assert [one.held for one in words[1:3]] == [False, False]
    assert "BLOCKS" in words[1].reason
    assert "does not block" in words[2].reason


def test_where_nothing_is_refused_it_cannot_be_told(make: Make) -> None:
    known = found(make, {"nginx4-500": {"200": 2000}}, refuses=False)
    late: dict[str, Any] = {"connect": histogram(0.001, 1.01, 3.02)}
    results = {name: replace(result, **late) for name, result in known.results.items()}
    words = judged(replace(known, results=results))
    assert [number for number, one in enumerate(words) if one.held is None] == [3, 4, 6, 10]
    for number in (3, 4, 6):
        assert "2 of 3 connects (66.7 %) took that long" in words[number].reason


@pytest.mark.parametrize(
    ("number", "outcomes"),
    [
        (4, {"nginx1-500": {"200": 999, "502": 1}}),
        (4, {"nginx1-500": {"200": 999, "timeout": 9}}),
        (6, {"nginx4-1000": {"200": 1, "502": 1}}),
    ],
)
def test_502_of_another_cause_is_no_counter_evidence(
    make: Make, number: int, outcomes: Outcomes
) -> None:
    one = STATEMENTS[number].judge(found(make, outcomes, refuses=False))
    assert one.held is None
    assert "this system never refuses a connect" in one.reason
    ((_, counts),) = outcomes.items()
    assert all(f"{n} x {name} of" in one.reason for name, n in counts.items() if name != "200")


@pytest.mark.parametrize("number", [8, 9])
@pytest.mark.parametrize("answers", [920, 1000, 1080])
def test_rates_that_are_close_tell_nothing(make: Make, number: int, answers: int) -> None:
    one = STATEMENTS[number].judge(found(make, {"nginx4-500": {"200": answers}}))
    assert one.held is None
    assert one.reason.startswith("too close to tell by one run: ")


@pytest.mark.parametrize("refuses", [True, False])
def test_advice_that_no_experiment_is_about(make: Make, refuses: bool) -> None:
    one = STATEMENTS[10].judge(found(make, refuses=refuses))
    assert one.held is None
    assert "no experiment holds one system against another" in one.reason


def test_a_refused_connect_counts_wherever_it_is_seen(make: Make) -> None:
    known = found(make, {"flask-500": {"200": 9, "refused": 1}}, refuses=False)
    assert STATEMENTS[3].judge(known).held is True


def test_what_was_not_measured_is_not_judged(make: Make) -> None:
    words = judged(replace(found(make), results={}))
    assert [one.held for one in words] == [False, True, True, *[None] * 8]
    assert words[8] == Judgement(None, "not measured: flask-500, nginx4-500")


def test_the_published_figures_are_those_of_every_load() -> None:
    known = published()
    assert list(known.loads) == [one.name for one in EXPERIMENTS if not one.is_probe]
    assert known.blocked == {"flask": False, "tornado": True}
    one = known.loads["nginx1-500"]
    assert (one.answers, one.statuses["502"]) == (60689 + 129006, 129006)
    assert one.share("502") == pytest.approx(0.68, abs=0.001)
    assert known.loads["flask-500"].refused == 1667
    tornado, flask = known.loads["nginx4-tornado-1000"].rate, known.loads["nginx4-1000"].rate
    assert tornado is not None
    assert flask is not None
    assert round(tornado / flask, 2) == 1.41


def test_figures_of_a_load(make: Make) -> None:
    result = Result.from_dict(make.result(outcomes={"200": 900, "502": 300, "refused": 7}))
    here = figures_of(result)
    assert (here.rate, here.good_rate) == (100, 75)
    assert (here.share("502"), here.refused) == (0.25, 7)
    none = figures_of(Result.from_dict(make.result(outcomes={"refused": 7})))
    assert (none.rate, none.good_rate, none.mean, none.share("502")) == (0, None, None, None)
