"""A load whose answers lead elsewhere than to where it was sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_winserve import Lab, Request, Site
from pytest_winserve.load.results.result import Result
from pytest_winserve.report.findings import load_warnings

APP = "tests.kit.apps.placed:app"


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with lab.serve("nginx2", app=APP, fast="/") as site:
        yield site


def told(result: Result) -> str:
    """What is told of a load, in one text, once in each place."""
    (words,) = result.astray
    assert words in result.summary()
    assert any(each.text == f"LEADS ELSEWHERE: {words}" for each in load_warnings(result))
    assert Result.from_dict(result.to_dict()) == result
    return words


def test_a_redirect_to_a_backend(site: Site) -> None:
    words = told(site.load(users=2, count=20, path="/own-port"))
    assert "a backend's own address" in words
    assert f"the client asked {site.url}. " in words


def test_an_app_that_believes_its_front_leads_nowhere_else(site: Site) -> None:
    result = site.load(users=2, count=20, path="/environ-port")
    assert result.answers is not None
    (single,) = result.answers.before
    assert single.location == f"{site.url}/login"  # though it was not sent through the front
    assert result.outcomes == {"302": 20}
    assert result.astray == ()


def test_a_redirect_to_another_scheme(site: Site) -> None:
    place = f"{site.url.replace('http', 'https')}/login"
    words = told(site.load(users=2, count=20, path=f"/to?place={place}"))
    assert "another scheme" in words


def test_a_redirect_that_only_the_load_meets(site: Site) -> None:
    request = Request("/to?place=http://127.0.0.1:1/", method="POST")
    result = site.load(users=1, count=20, requests=[request])
    assert result.answers is not None
    assert result.answers.before == ()
    assert "another port" in told(result)


def test_a_cookie_that_no_client_sends_back(site: Site) -> None:
    words = told(site.load(users=2, count=20, path="/cookies?cookie=session=secret%3B%20Secure"))
    assert "sets the cookie session with Secure" in words
    assert "=secret" not in words.replace("?cookie=session=secret", "")


def test_where_the_client_asked_is_what_the_request_says(site: Site) -> None:
    request = Request("/to?place=http://shop.example/", headers={"Host": "shop.example"})
    result = site.load(users=1, count=20, requests=[request])
    assert result.outcomes == {"302": 20}
    assert result.astray == ()
