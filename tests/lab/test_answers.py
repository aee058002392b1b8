"""Whether a load measured the page that it is about: redirects, and answers of another kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_winserve import Lab, Request, Site
from pytest_winserve.errors import CriterionFailed
from pytest_winserve.load.recording.tally import KINDS_OF_ANSWERS
from pytest_winserve.load.results.answers import OTHERS, AnswerKind
from pytest_winserve.load.results.result import Result
from tests.kit.components import needs
from tests.kit.loads import adds_up

APP = "tests.kit.apps.guarded:app"


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    with lab.serve("waitress", app=APP, fast="/login") as site:
        yield site


def kinds(result: Result) -> tuple[AnswerKind, ...]:
    assert result.answers is not None
    return result.answers.kinds


def all_to_login(result: Result) -> None:
    adds_up(result)
    n = result.sent
    assert result.outcomes == {"302": n}
    assert result.redirected == f"{n} of {n} answers (100.0%) were redirects: to /login?... {n}"
    assert result.differences == []
    with pytest.raises(CriterionFailed, match=r"nothing but redirects: .*to /login\?\.\.\. \d+"):
        result.require("error_rate < 1%")
    assert result.require("error_rate < 1%", "status(302) == 100%") is result
    assert result.require("p50 < 10s", "status(302) >= 0") is result
    assert Result.from_dict(result.to_dict()) == result


def test_a_page_behind_a_login_is_told_and_meets_no_criterion(site: Site) -> None:
    before = site.backends[0].requests
    result = site.load(users=3, count=60, path="/report")
    all_to_login(result)
    # The single request before the load is the lab's own.
    assert site.backends[0].requests == (before or 0) + 60


def test_who_is_logged_in_measures_the_page(site: Site) -> None:
    request = Request("/report", headers={"Cookie": "user=1"})
    result = site.load(users=3, count=60, requests=[request])
    assert (result.redirected, result.differences) == ("", [])
    assert kinds(result) == (AnswerKind("GET /report", "200", "", 20_000, 60),)
    result.require("error_rate < 1%")


def test_a_share_of_redirects_is_told_and_judged_like_other_answers(site: Site) -> None:
    requests = [Request("/report"), Request("/login")]
    result = site.load(users=3, count=90, requests=requests)
    redirected = result.outcomes["302"]
    assert 0 < redirected < 90
    assert result.redirected.startswith(f"{redirected} of 90 answers (")
    result.require("error_rate < 1%")


def test_a_short_page_with_status_200_is_not_the_page(site: Site) -> None:
    result = site.load(users=2, count=50, path="/tired")
    assert result.outcomes == {"200": 50}
    (words,) = result.differences
    assert words == (
        "50 of 50 answers to GET /tired had another size than a single request just before the "
        "load (20000 bytes): 15 bytes 50"
    )
    assert words in result.summary()


def test_another_status_is_told(site: Site) -> None:
    result = site.load(users=2, count=50, path="/gone")
    (words,) = result.differences
    assert words == (
        "50 of 50 answers to GET /gone had another status than a single request just before the "
        "load (200): 203 50"
    )


def test_places_beyond_some_are_counted_together(site: Site) -> None:
    result = site.load(users=1, count=200, path="/away")
    found = kinds(result)
    assert len(found) == KINDS_OF_ANSWERS + 1
    assert found[0] == AnswerKind("GET /away", "307", OTHERS, None, 200 - KINDS_OF_ANSWERS)
    assert sum(kind.count for kind in found) == 200


def test_what_has_no_length_is_not_compared(site: Site) -> None:
    result = site.load(users=1, count=20, path="/piecemeal")
    assert kinds(result) == (AnswerKind("GET /piecemeal", "200", "", None, 20),)
    assert result.differences == []


def test_a_load_of_a_few_requests_is_all_that_is_sent(site: Site) -> None:
    result = site.load(users=1, count=9, path="/tired")
    assert result.answers is not None
    assert result.answers.before == ()
    assert {kind.size: kind.count for kind in kinds(result)} == {20_000: 1, 15: 8}


def test_only_a_get_is_sent_before_the_load(site: Site) -> None:
    result = site.load(users=1, count=10, requests=[Request("/login", method="POST", body=b"a=1")])
    assert result.answers is not None
    assert result.answers.before == ()
    assert result.differences == []


@needs("tsung")
def test_by_tsung_which_does_not_tell_where_to(site: Site) -> None:
    result = site.load(users=2, count=40, path="/report", engine="tsung")
    assert result.redirected == (
        "40 of 40 answers (100.0%) were redirects: where to, the engine does not tell; a single "
        "request before was sent to /login?..."
    )
    assert result.differences == []
    with pytest.raises(CriterionFailed, match="nothing but redirects"):
        result.require("error_rate < 1%")


@needs("locust")
def test_by_locust(site: Site) -> None:
    all_to_login(site.load(users=2, count=40, path="/report", engine="locust"))
    short = site.load(users=2, count=50, path="/tired", engine="locust")
    assert short.differences[0].endswith("(20000 bytes): 15 bytes 50")


def test_the_single_request_has_the_cookies_of_the_client_as_a_get_has(site: Site) -> None:
    site.client.cookies.set("user", "1")
    assert len(site.get("/report").content) == 20_000
    result = site.load(users=1, count=10, path="/report")
    (words,) = result.differences
    assert words == (
        "10 of 10 answers to GET /report had another status than a single request just before the "
        "load with the cookies of the site's client (200): 302 10"
    )
    own = site.load(users=1, count=10, requests=[Request("/report", headers={"Cookie": "user=2"})])
    assert own.differences == []


def test_a_single_request_without_an_answer_takes_no_backend_out_of_service(lab: Lab) -> None:
    """nginx has tried each backend in vain, and would take all of them for down in the load."""
    requests = [Request("/misbehave?reset=headers"), Request("/test", weight=1e6)]
    with lab.serve("nginx2") as site:
        result = site.load(users=2, count=200, requests=requests)
    adds_up(result)
    assert result.outcomes["200"] >= 199
    assert result.answers is not None
    assert [one.status for one in result.answers.before] == [None, "200"]
