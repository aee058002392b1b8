"""The headers of a run go with every request of the lab, and their values are shown nowhere."""

from __future__ import annotations

import json

import pytest

from pytest_winserve import Lab, Request
from pytest_winserve.load.request_parts import NOT_SHOWN
from tests.kit.apps.insists import HEADERS
from tests.kit.components import needs
from tests.kit.loads import adds_up

APP = "tests.kit.apps.insists:app"


@pytest.mark.parametrize("load_from", ["here", "host"])
def test_every_request_of_the_lab_carries_them(load_from: str) -> None:
    lab = Lab(headers=HEADERS, load_from=load_from)
    with lab.serve("waitress", APP, slow="/sleep") as site:
        assert site.probe().non_blocking
        assert site.capacity(limit=5).value == 4
        result = site.load(users=2, count=50, requests=["/test", Request("/", "POST", body=b"x")])
        assert site.get("/refused").text == ""
    adds_up(result)
    assert result.outcomes == {"200": 50}
    assert result.answers is not None
    assert [single.status for single in result.answers.before] == ["200"]
    for text in (repr(result), repr(site), json.dumps(result.to_dict()), result.summary()):
        assert not [value for value in HEADERS.values() if value in text]
    (kept, _) = result.plan.requests
    assert kept.headers == dict.fromkeys(HEADERS, NOT_SHOWN)


def test_an_app_behind_a_front_gets_the_host_that_it_insists_on() -> None:
    lab = Lab(headers=list(HEADERS.items()))
    with lab.serve("nginx2-waitress", APP, slow="/sleep") as site:
        result = site.load(users=2, count=40)
        assert site.get("/test").status_code == 200
    adds_up(result)
    assert result.outcomes == {"200": 40}


def test_what_a_request_names_itself_stays() -> None:
    with Lab(headers=HEADERS).serve("waitress", APP) as site:
        wrong = Request("/test", headers={"x-api-key": "another"})
        assert site.load(users=1, count=20, requests=[wrong]).outcomes == {"401": 20}
        assert site.get("/test", headers={"X-Api-Key": "another"}).status_code == 401


def test_a_cookie_of_the_app_comes_beside_those_of_the_run() -> None:
    with Lab(headers=HEADERS).serve("waitress", APP) as site:
        site.client.cookies.set("more", "1")
        assert site.get("/test").status_code == 200


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=needs(name)) for name in ("tsung", "locust")]
)
def test_the_other_engines_send_them_too(engine: str) -> None:
    with Lab(headers=HEADERS).serve("waitress", APP) as site:
        result = site.load(users=2, duration=1, engine=engine)
        assert site.get("/refused").text == ""
    adds_up(result)
    assert set(result.outcomes) == {"200"}
    assert not [value for value in HEADERS.values() if value in json.dumps(result.to_dict())]
