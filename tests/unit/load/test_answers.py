"""What is said of a load's answers: redirects, and what a single request got before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.journeys.steps import Step
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.tally import KINDS_OF_ANSWERS, Tally
from pytest_winserve.load.recording.wire import LONGEST_PLACE, place_of
from pytest_winserve.load.recording.worker_reports import answer_kinds
from pytest_winserve.load.results.answers import (
    OTHERS,
    AnswerKind,
    Answers,
    Reference,
    differences,
    nothing_but_redirects,
    redirects_text,
)
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import RequestShare
from tests.kit.results import Make

PAGE = "GET /page"
THAN = "than a single request just before the load"
SIZES = "20 bytes 3, 30 bytes 1"


def answers(*kinds: tuple[str, int | None, int], before: str = "200", size: int = 1000) -> Answers:
    """Answers by status, size and number, and the single one before."""
    return Answers(
        tuple(AnswerKind(PAGE, status, "", length, n) for status, length, n in kinds),
        (Reference(PAGE, before, "", size),),
    )


def test_redirects_are_told_by_place_the_most_frequent_first() -> None:
    kinds = [AnswerKind(PAGE, "302", place, 0, n) for place, n in
             (("/a", 1), ("/login", 50), ("/b", 2), ("/c", 3), ("/d", 4), ("/e", 5))]  # fmt: skip
    outcomes = {"302": 65, "200": 35, "refused": 9}
    assert redirects_text(outcomes, Answers(tuple(kinds))) == (
        "65 of 100 answers (65.0%) were redirects: to /login 50, to /e 5, to /d 4, to /c 3, "
        "elsewhere 3"
    )
    assert redirects_text({"200": 3, "304": 4}, Answers()) == ""


def test_where_an_engine_does_not_tell_where_to_the_single_request_does() -> None:
    single = Answers((), (Reference(PAGE, "302", "/login", 0),))
    words = redirects_text({"302": 5}, single)
    assert words.endswith(
        "where to, the engine does not tell; a single request before was sent to /login"
    )
    assert redirects_text({"302": 5}, None).endswith("the engine does not tell")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ({"302": 5}, True),
        ({"301": 5, "308": 1, "refused": 9}, True),
        ({"302": 5, "200": 1}, False),
        ({"304": 5}, False),
        ({"refused": 5}, False),
        ({}, False),
    ],
)
def test_nothing_but_redirects(outcomes: dict[str, int], expected: bool) -> None:
    assert nothing_but_redirects(outcomes) is expected


def test_no_criterion_holds_on_nothing_but_redirects_unless_they_are_named(make: Make) -> None:
    data = make.result(outcomes={"302": 100})
    result = Result.from_dict({key: data[key] for key in data if key != "checks"})
    names = ("error_rate < 1%", "rate > 1", "unaccounted == 0")
    plain = [Criterion.parse(text) for text in names]
    assert not any(check.passed for check in result.checks(*plain))
    assert all("nothing but redirects" in check.note for check in result.checks(*plain))
    for named in ("status(302) >= 0", "outcome(302) == 100%"):
        assert all(check.passed for check in result.checks(*plain, Criterion.parse(named)))
    for other in ("status(502) == 0%", "outcome(refused) == 0%"):
        assert not any(c.passed for c in result.checks(*plain, Criterion.parse(other)))


def test_a_redirect_that_a_step_expects_is_none_to_tell_of(make: Make) -> None:
    steps = [
        Step(post="/login", expect={"status": 302}),
        Step(post="/note", follow=True),
        Step(get="/orders"),
    ]
    plan = Plan.make(count=1, journeys=[Journey("order", steps)])
    assert plan.redirecting == {"POST /login", "POST /note", "POST /note (followed)"}
    shares = {label: RequestShare({"302": 10}, Histogram()) for label in plan.labels[:2]}
    kinds = [AnswerKind(label, "302", "/home", 0, 10) for label in shares]
    made = make.result(outcomes={"302": 20})
    result = replace(
        Result.from_dict({key: made[key] for key in made if key != "checks"}),
        plan=plan,
        by_request=shares,
        answers=Answers(tuple(kinds)),
    )
    assert result.redirected == ""
    assert "redirects" not in result.summary()
    assert result.checks(Criterion.parse("error_rate < 1%"))[0].passed
    bounced = replace(
        result,
        sent=25,
        outcomes={"302": 25},
        by_request=shares | {"GET /orders": RequestShare({"302": 5}, Histogram())},
        answers=Answers((*kinds, AnswerKind("GET /orders", "302", "/login", 0, 5))),
    )
    words = "5 of 25 answers (20.0%) were redirects where no step expects one: to /login 5"
    assert bounced.redirected == words
    (check,) = bounced.checks(Criterion.parse("error_rate < 1%"))
    assert not check.passed
    assert words in check.note


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([("200", 1000, 9)], []),
        ([("200", 1009, 9), ("200", 950, 9)], []),
        ([("200", None, 9)], []),
        ([("200", 1000, 9), ("200", 20, 3), ("200", 30, 1)],
         [f"4 of 13 answers to GET /page had another size {THAN} (1000 bytes): {SIZES}"]),
        ([("200", 1000, 9), ("503", 20, 3)],
         [f"3 of 12 answers to GET /page had another status {THAN} (200): 503 3"]),
    ],
)  # fmt: skip
def test_what_differs(kinds: list[tuple[str, int | None, int]], told: list[str]) -> None:
    assert differences({}, answers(*kinds)) == told


def test_short_bodies_differ_by_more_than_a_number_in_them() -> None:
    assert differences({}, answers(("200", 70, 5), size=60)) == []
    assert differences({}, answers(("200", 90, 5), size=60)) != []


def test_without_an_answer_to_the_single_request_nothing_is_held_against_it() -> None:
    dead = Answers((AnswerKind(PAGE, "200", "", 5, 5),), (Reference(PAGE, None, error="refused"),))
    assert differences({"200": 5}, dead) == []
    assert differences({"200": 5}, None) == []


def test_statuses_alone_are_compared_where_an_engine_tells_no_more() -> None:
    single = Answers((), (Reference(PAGE, "200", "", 60),))
    assert differences({"200": 5, "refused": 3}, single) == []
    (words,) = differences({"200": 5, "500": 3}, single)
    assert words.startswith("3 of 8 answers to GET /page had another status")


def test_answers_are_the_same_after_a_file() -> None:
    made = answers(("200", 5, 6), ("302", None, 7))
    assert Answers.from_dict(made.to_dict()) == made


def test_a_place_is_told_without_its_query() -> None:
    assert place_of("/login?next=/&token=secret") == "/login?..."
    assert place_of("https://login.example/") == "https://login.example/"
    assert place_of("/" + "x" * 10_000) == "/" + "x" * (LONGEST_PLACE - 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["200", "302", "refused"]),
            st.sampled_from(["", *(f"/{n}" for n in range(40))]),
            st.one_of(st.none(), st.integers(0, 40)),
        ),
        max_size=200,
    )
)
def test_every_answer_is_counted_and_the_kinds_are_bounded(
    events: list[tuple[int, str, str, int | None]],
) -> None:
    plan = Plan.make(count=1, requests=["/a", "/b"])
    tallies = [Tally(0.0), Tally(0.0)]
    for number, event in enumerate(events):
        request, outcome, location, size = event
        times = tallies[number % 2].times_of(request, "0", outcome, location, size)
        times.totals.append(1)
        if number % 7 == 0:
            tallies[number % 2].fold()
    snapshots = [tally.snapshot(timeline_from=0, final=True) for tally in tallies]
    found = answer_kinds(snapshots, plan)
    answered = [event for event in events if event[1] != "refused"]
    assert sum(kind.count for kind in found) == len(answered)
    for snapshot in snapshots:
        assert len(snapshot["answers"]) <= 6 * (KINDS_OF_ANSWERS + 2)
    if len({event[2:] for event in events}) <= KINDS_OF_ANSWERS // 2:
        assert not any(kind.location == OTHERS for kind in found)
