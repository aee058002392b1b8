"""Loads against real sites: every request is accounted for, with exact counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_winserve import Lab, Request, Site
from pytest_winserve.errors import CriterionFailed, UsageError
from pytest_winserve.load.measures.histogram import RELATIVE_ERROR
from pytest_winserve.load.measures.outcomes import NO_BACKEND
from tests.kit.commands import FLASK_COMMAND
from tests.kit.loads import adds_up, answers, seen
from tests.kit.platforms import WINE, shows_resets


@pytest.fixture(scope="module")
def flask(lab: Lab) -> Iterator[Site]:
    with lab.serve("flask") as site:
        yield site


@pytest.fixture(scope="module")
def nginx2(lab: Lab) -> Iterator[Site]:
    with lab.serve("nginx2") as site:
        yield site


@pytest.fixture(scope="module")
def threads(lab: Lab) -> Iterator[Site]:
    """Two backends that keep connections, and a front that never leaves one out."""
    with lab.serve("nginx2-waitress:front.max_fails=0:front.retry=no") as site:
        yield site


def test_a_load_on_one_backend(flask: Site) -> None:
    before = flask.backends[0].requests or 0
    result = flask.load(users=4, count=200)
    adds_up(result)
    assert result.outcomes == {"200": 200}
    assert answers(result) == {"0": 200}
    assert seen(result) == {"backends": 200}
    assert flask.backends[0].requests == before + 200
    assert result.total.count == result.first_byte.count == 200
    assert result.url == flask.url


def test_a_load_through_a_front(nginx2: Site) -> None:
    before = [backend.requests or 0 for backend in nginx2.backends]
    result = nginx2.load(users=4, count=200)
    adds_up(result)
    assert result.outcomes == {"200": 200}
    assert answers(result) == {"0": 100, "1": 100}
    assert seen(result) == {"front's log": 200, "backend 0": 100, "backend 1": 100}
    assert [backend.requests for backend in nginx2.backends] == [n + 100 for n in before]
    # One connection per user, or per request.
    assert result.connect.count == 4


def test_without_keepalive_each_request_has_its_connection(nginx2: Site) -> None:
    result = nginx2.load(users=4, count=60, keepalive=False)
    adds_up(result)
    assert result.outcomes == {"200": 60}
    assert result.connect.count == 60


def test_a_load_on_commands_behind_a_front(lab: Lab) -> None:
    with lab.serve("nginx2-command", command=FLASK_COMMAND) as site:
        result = site.load(users=4, count=100)
        adds_up(result)
        assert result.outcomes == {"200": 100}
        # Nobody but the front can say who answered.
        assert answers(result) == {"0": 50, "1": 50}
        assert seen(result) == {"front's log": 100}


@pytest.mark.parametrize(
    ("topology", "expected"),
    [
        ("nginx2-waitress", {NO_BACKEND: 10}),
        # Only the front can say who answered there.
        ("nginx2-command", {"0": 0, "1": 0, NO_BACKEND: 10}),
    ],
)
def test_what_the_front_answers_for_dead_backends_is_its_own(
    lab: Lab, topology: str, expected: dict[str, int]
) -> None:
    with lab.serve(topology, command=FLASK_COMMAND if "command" in topology else None) as site:
        site.load(count=1, path="/misbehave?crash=5")
        result = site.load(users=2, count=10)
        adds_up(result)
        assert result.outcomes == {"502": 10}
        assert answers(result) == expected


def test_on_a_command_alone_only_the_client_counts(lab: Lab) -> None:
    with lab.serve("command", command=FLASK_COMMAND) as site:
        result = site.load(users=2, count=20)
    assert result.outcomes == {"200": 20}
    assert answers(result) == {NO_BACKEND: 20}
    assert result.ledger is not None
    assert result.ledger.unaccounted is None
    with pytest.raises(CriterionFailed, match="unaccounted == 0: not measured"):
        result.require("unaccounted == 0")


def test_percentiles_of_known_delays(flask: Site) -> None:
    delays = {"GET /misbehave?delay=0.1": 0.1, "GET /misbehave?delay=0.5": 0.5}
    mix = [
        Request("/misbehave?delay=0.1", weight=4),
        Request("/misbehave?delay=0.5", weight=1),
    ]
    result = flask.load(users=10, count=150, requests=mix)
    adds_up(result)
    # Never below the truth, and above it by 1/128 and by what a busy machine takes to answer; one
    # of all requests may find it very busy.
    for label, share in result.by_request.items():
        for q, more in ((1, 0.2), (50, 0.2), (90, 0.2), (100, 2.0)):
            most = delays[label] * (1 + RELATIVE_ERROR) + more
            assert delays[label] <= (share.total.percentile(q) or 0) < most
    # Of all together, the quick ones come first.
    quick, slow = (share.total.count for share in result.by_request.values())
    assert min(quick, slow) > 0
    last_quick = result.percentile(100 * quick / 150) or 0
    first_slow = result.percentile(100 * (quick + 1) / 150) or 0
    assert 0.1 <= last_quick < 0.5 <= first_slow < 0.71


def test_a_warm_up_is_not_counted(nginx2: Site) -> None:
    before = [backend.requests for backend in nginx2.backends]
    result = nginx2.load(users=2, count=20, warmup=0.2)
    adds_up(result)
    assert result.sent == 20
    after = [backend.requests for backend in nginx2.backends]
    assert sum(n or 0 for n in after) - sum(n or 0 for n in before) == 20


def test_loads_one_after_the_other_are_kept_apart(nginx2: Site) -> None:
    for count in (10, 20, 30):
        result = nginx2.load(users=2, count=count)
        adds_up(result)
        assert seen(result)["front's log"] == count


def test_a_duration_ends_a_load(nginx2: Site) -> None:
    result = nginx2.load(users=2, duration=0.3)
    adds_up(result)
    assert result.sent > 0
    assert set(result.outcomes) == {"200"}


def test_arrivals_at_a_rate(nginx2: Site) -> None:
    result = nginx2.load(rate=200, count=50)
    adds_up(result)
    assert (result.sent, result.dropped) == (50, 0)
    assert result.outcomes == {"200": 50}


@pytest.mark.parametrize(
    ("query", "outcome", "own"),
    [
        ("status=204", "204", 20),
        ("status=302", "302", 20),
        ("status=404", "404", 20),
        ("status=500", "500", 20),
        ("status=503&size=100&chunks=3", "503", 20),
        ("size=100000", "200", 20),
        ("declare=10&size=4", "closed_early", 0),
        ("reset=headers", "reset", 0),
        pytest.param("reset=body&size=1000", "reset", 0, marks=shows_resets),
    ],
)
def test_each_outcome_on_one_backend(flask: Site, query: str, outcome: str, own: int) -> None:
    result = flask.load(users=2, count=20, path=f"/misbehave?{query}")
    adds_up(result)
    assert result.outcomes == {outcome: 20}
    assert seen(result) == {"backends": 20}
    assert answers(result) == ({"0": own} if own else {})
    assert result.errors == (0 if outcome in ("200", "204", "302") else 20)


@pytest.mark.parametrize(
    ("query", "outcome", "answered"),
    [
        ("status=500", "500", 10),
        ("status=404&size=10", "404", 10),
        ("declare=10&size=4", "closed_early", 10),
        ("reset=body&size=1000", "closed_early", 10),
        # The front answers for a backend that did not.
        ("reset=headers", "502", 0),
    ],
)
def test_each_outcome_through_a_front(
    threads: Site, query: str, outcome: str, answered: int
) -> None:
    result = threads.load(users=2, count=20, path=f"/misbehave?{query}")
    adds_up(result)
    assert result.outcomes == {outcome: 20}
    assert seen(result) == {"front's log": 20, "backend 0": 10, "backend 1": 10}
    assert result.ledger is not None
    assert [side.low for side in result.ledger.sides[1:]] == [answered, answered]


def test_a_request_that_the_front_tries_twice_runs_twice(lab: Lab) -> None:
    with lab.serve("nginx2:front.max_fails=0") as site:
        result = site.load(users=1, count=10, path="/misbehave?reset=headers")
        adds_up(result)
        assert result.outcomes == {"502": 10}
        assert seen(result) == {"front's log": 10, "backend 0": 10, "backend 1": 10}


@pytest.mark.parametrize("topology", ["flask", "nginx2"])
@pytest.mark.parametrize("moment", ["headers", "body"])
def test_what_hangs_times_out_and_still_runs(lab: Lab, topology: str, moment: str) -> None:
    with lab.serve(topology) as site:
        path = f"/misbehave?hang={moment}&size=1000"
        result = site.load(users=4, count=4, path=path, timeout=0.5)
        adds_up(result)
        assert result.outcomes == {"timeout": 4}
        assert result.ledger is not None
        assert "4 requests still run in the backends" in result.ledger.notes
        assert sum(backend.requests or 0 for backend in site.backends) == 4


# Wine 8 shows a reset that follows data as an orderly end.
CUT = {"reset", "closed_early"} if WINE else {"reset"}
MIX = (
    # A request, and how it may end with a server alone and behind nginx.
    (Request("/test", weight=6), {"200"}, {"200"}),
    (Request("/misbehave?status=500", method="POST", body=b"a body"), {"500"}, {"500"}),
    (Request("/misbehave?status=404&size=2000&chunks=3"), {"404"}, {"404"}),
    (Request("/misbehave?reset=headers"), {"reset"}, {"502"}),
    # A reset discards what nginx has not read yet, so it may have nothing to pass on.
    (Request("/misbehave?reset=body&size=3000"), CUT, {"closed_early", "502"}),
    (Request("/misbehave?declare=10&size=4"), {"closed_early"}, {"closed_early"}),
)


@pytest.mark.parametrize("keepalive", [True, False])
@pytest.mark.parametrize(
    "topology", ["flask", "waitress", "nginx2-waitress:front.max_fails=0:front.retry=no"]
)
def test_a_mix_of_faults_adds_up(lab: Lab, topology: str, keepalive: bool) -> None:
    mix = [request for request, *_ in MIX]
    with lab.serve(topology) as site:
        result = site.load(users=8, count=400, requests=mix, keepalive=keepalive)
        adds_up(result)
        assert result.sent == 400
        expected = [behind if site.topology.front else alone for _, alone, behind in MIX]
        assert set(result.outcomes) == set().union(*expected)
        for share, outcomes in zip(result.by_request.values(), expected, strict=True):
            assert set(share.outcomes) <= outcomes, result.by_request
        backends = sum(backend.requests or 0 for backend in site.backends)
        assert backends == 400, (result.by_request, result.ledger)
        assert result.errors == 400 - result.outcomes["200"]


RAISES = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/raise":
        raise LookupError("on purpose")
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_what_the_app_raises_is_counted_and_noted(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "winserve_test_raises.py").write_text(RAISES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with lab.serve("nginx2-waitress", app="winserve_test_raises:app") as site:
        result = site.load(users=2, count=20, path="/raise")
        adds_up(result)
        assert result.outcomes == {"500": 20}
        assert result.ledger is not None
        assert "the app ended 20 requests with an exception" in result.ledger.notes


def test_a_crash_under_load_is_accounted_for_and_named(lab: Lab) -> None:
    with lab.serve("nginx2") as site:
        pids = [backend.pid for backend in site.backends]
        result = site.load(users=1, count=1, path="/misbehave?crash=5")
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        # The front tried the second backend when the first was gone.
        assert result.outcomes == {"502": 1}
        assert list(result.ledger.notes) == [
            f"died during the load: backend-{n} (pid {pid}) exited with status 5"
            for n, pid in enumerate(pids)
        ]


def test_a_plan_that_cannot_be_sends_nothing(flask: Site) -> None:
    before = flask.backends[0].requests
    for arguments in (
        {},
        {"count": 0},
        {"count": 1, "users": 0},
        {"count": 1, "path": "no slash"},
        {"count": 1, "path": "/a", "requests": ["/b"]},
        {"count": 1, "engine": "buildin"},
    ):
        with pytest.raises(UsageError):
            flask.load(**arguments)
    assert flask.backends[0].requests == before


def test_the_fast_path_is_what_is_loaded_unless_told(lab: Lab) -> None:
    with lab.serve("flask", fast="/misbehave?size=7") as site:
        result = site.load(count=3)
        assert [request.path for request in result.plan.requests] == ["/misbehave?size=7"]
        assert result.outcomes == {"200": 3}
