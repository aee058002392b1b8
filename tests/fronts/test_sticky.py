"""`front.sticky=true`: a user stays with one backend, by a cookie of the front's."""

from __future__ import annotations

from collections import Counter

import psutil
import pytest
import requests

from tests.kit.components import needs
from tests.kit.traces import Serve
from tests.kit.waiting import eventually

pytestmark = pytest.mark.usefixtures("traces")

FRONTS = ["nginx", pytest.param("apache", marks=needs("apache"))]
APP = "apps.remembers:app"


@pytest.mark.parametrize("front", FRONTS)
def test_a_user_is_known_in_all_answers_and_else_in_a_quarter(serve: Serve, front: str) -> None:
    for options, known in (("", 2), (":front.sticky=true", 8)):
        with serve(f"{front}4-waitress{options}", APP, fast="/") as site:
            jar = requests.Session()
            jar.get(site.url)
            cookies = jar.cookies.get_dict()
            # The same cookies each time, as of a user who has come back.
            answers = [requests.get(site.url, cookies=cookies, timeout=30) for _ in range(8)]
        strangers = sum("user=" in answer.headers.get("Set-Cookie", "") for answer in answers)
        assert 8 - strangers == known
        assert ("winserve_route" in cookies) is bool(options)
        if options:
            assert not any("Set-Cookie" in answer.headers for answer in answers)


def test_new_users_take_turns(serve: Serve) -> None:
    with serve("nginx4-waitress:front.sticky=true", APP, fast="/") as site:
        answers = [requests.get(site.url, timeout=30) for _ in range(8)]
        found = Counter(answer.cookies["winserve_route"] for answer in answers)
        ledger = site.load(users=4, count=40, path="/").ledger
        assert ledger is not None
        assert ledger.unaccounted == 0
    assert found == dict.fromkeys("0123", 2)


@pytest.mark.parametrize("front", FRONTS)
def test_where_a_backend_is_gone_another_one_takes_its_users(serve: Serve, front: str) -> None:
    with serve(f"{front}2-waitress:front.sticky=true", APP, fast="/") as site:
        jar = requests.Session()
        jar.get(site.url)
        route = jar.cookies["winserve_route"]
        assert jar.get(site.url).text == "1"
        at = int(route.lstrip("."))
        backend = psutil.Process(site.backends[at].pid)
        backend.kill()
        eventually(lambda: site.deaths())
        assert jar.get(site.url).status_code == 200
        assert jar.cookies["winserve_route"] != route
        assert jar.get(site.url).text == "1"


@pytest.mark.parametrize("front", FRONTS)
def test_an_app_that_loses_its_users_else_survives(serve: Serve, front: str) -> None:
    with serve(f"{front}2-waitress:front.sticky=true", APP, fast="/") as site:
        assert site.several_processes().lost == ()
