"""What a real site's programs write into their logs during a measurement is counted and told."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from pytest_winserve import Lab, Request, Site
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.process_tree import kill
from tests.kit.loads import adds_up
from tests.kit.platforms import not_on_windows

APP = "tests.kit.apps.complains:app"


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with lab.serve("nginx2-waitress:front.max_fails=0", app=APP, fast="/test") as site:
        yield site


def logged(result: Result) -> dict[str, int]:
    assert result.logged is not None
    return {one.kind: one.count for one in result.logged}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/raise", "LookupError (traceback)"),
        ("/log", "ERROR line"),
        ("/broken", "logging error: PermissionError (traceback)"),
    ],
)
def test_each_is_counted_with_its_backend(site: Site, path: str, kind: str) -> None:
    result = site.load(users=1, count=10, path=path)
    adds_up(result)
    assert logged(result) == {kind: 10}
    assert result.logged is not None
    assert result.logged[0].counts == {"backend-0": 5, "backend-1": 5}
    assert f"logged: {kind} 10 times (backend-0 5, backend-1 5): " in result.summary()
    assert Result.from_dict(result.to_dict()) == result


def test_what_was_logged_before_belongs_to_no_later_measurement(site: Site) -> None:
    site.load(users=1, count=4, path="/raise")
    assert site.load(users=1, count=4).logged == ()


def test_a_flood_of_bytes_without_a_line_end_is_no_complaint(site: Site) -> None:
    result = site.load(users=1, count=4, requests=[Request("/flood")])
    assert logged(result) == {}


def test_a_full_queue_of_the_server_is_told(site: Site) -> None:
    result = site.load(users=32, count=2000)
    assert logged(result).keys() <= {"Task queue depth: more requests than threads"}


@pytest.mark.parametrize(
    ("options", "kind", "least"),
    [
        # The first request finds both of them down.
        ("front.fail_timeout=60", "no live upstreams", 19),
        ("front.max_fails=0", "connect() failed (111: Connection refused)", 20),
    ],
)
@not_on_windows("Windows numbers its errors otherwise")
def test_the_front_says_that_it_cannot_reach_its_backends(
    lab: Lab, options: str, kind: str, least: int
) -> None:
    with lab.serve(f"nginx2-waitress:{options}", app=APP, fast="/test") as site:
        kill([psutil.Process(backend.pid) for backend in site.backends])
        result = site.load(users=1, count=20)
        assert result.outcomes == {"502": 20}
        assert logged(result)[kind] >= least
        assert result.logged is not None
        assert all(one.counts.keys() == {"nginx"} for one in result.logged)
