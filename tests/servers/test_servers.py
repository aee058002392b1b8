"""Each server does what it declares, and every request is told by who served it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.errors import MissingComponent, ProbeError, UsageError
from pytest_winserve.options import defaults
from pytest_winserve.probe.verdicts import Capacity, Verdict
from pytest_winserve.servers import get_server, require_server
from pytest_winserve.servers.hypercorn import default_threads
from pytest_winserve.system.windows import wine_version
from tests.kit.commands import FLASK_COMMAND
from tests.kit.components import needs
from tests.kit.fixtures import SLOW
from tests.kit.waiting import eventually

# Topology, what it declares in all, and the share of fast requests that one slow request blocks.
CASES = (
    ("flask", None, 0.0),
    ("flask:threaded=false", 1, 1.0),
    ("tornado", 1, 1.0),
    ("tornado:threads=3", 3, 0.0),
    ("waitress", 4, 0.0),
    ("waitress:threads=8", 8, 0.0),
    ("gevent", None, 0.0),
    ("gevent:patch=false", 1, 1.0),
    ("gevent:pool=3", 3, 0.0),
    ("cheroot", 10, 0.0),
    ("cheroot:threads=3", 3, 0.0),
    ("hypercorn", default_threads(), 0.0),
    ("hypercorn:threads=3", 3, 0.0),
    ("uvicorn", 10, 0.0),
    ("uvicorn:threads=3:access_log=false", 3, 0.0),
    ("nginx2-gevent:pool=3:front.keepalive=0", 6, 0.0),
    ("nginx2-cheroot:threads=2", 4, 0.0),
    ("nginx2-hypercorn:threads=1", 2, 0.5),
    ("nginx2-uvicorn:threads=1", 2, 0.5),
    ("nginx4-tornado", 4, 0.25),
    ("nginx2-waitress", 8, 0.0),
)
FORKING = (
    ("gunicorn", 1, 1.0),
    ("gunicorn:workers=4", 4, 0.0),
    ("gunicorn:workers=2:threads=4", 8, 0.0),
    ("granian:workers=2:blocking_threads=2:backpressure=2", 4, 0.0),
    ("nginx2-gunicorn", 2, 0.5),
    ("nginx2-gunicorn:workers=2:threads=2", 8, 0.0),
    ("uwsgi", 1, 1.0),
    ("uwsgi:processes=4", 4, 0.0),
    ("uwsgi:processes=2:threads=4", 8, 0.0),
    ("nginx2-uwsgi", 2, 0.5),
)
GRANIAN = (
    ("granian", 512, 0.0),
    ("granian:blocking_threads=3", 3, 0.0),
    ("nginx2-granian:blocking_threads=1", 2, 0.5),
)
# Wine 8 lacks a DLL that Granian needs.
NATIVE = CASES + GRANIAN if wine_version() is None else CASES
APACHE = (
    ("mod_wsgi", 15, 0.0),
    ("mod_wsgi:threads=1", 1, 1.0),
    ("mod_wsgi:processes=2:threads=2", 4, 0.0),
    ("nginx2-mod_wsgi:threads=1", 2, 0.5),
    ("apache4-tornado", 4, 0.25),
    ("apache2-waitress", 8, 0.0),
)
# No Apache for Windows could be had to try it with.
RUN = NATIVE if sys.platform == "win32" else NATIVE + FORKING + APACHE
EXPECTED = {name: (declared, blocked) for name, declared, blocked in RUN}


BY_APACHE = {name for name, _, _ in APACHE}
# Each server once, and a front; what its options change takes minutes.
SOON = {name for name in EXPECTED if ":" not in name and "-" not in name} | {"nginx4-tornado"}


def marks(topology: str) -> tuple[pytest.MarkDecorator, ...]:
    if topology in BY_APACHE:
        return (needs("apache"),)
    return () if topology in SOON else (needs("minutes"),)


PARAMS = [pytest.param(name, marks=marks(name)) for name in EXPECTED]


@dataclass(frozen=True, slots=True)
class Measured:
    """A running site, and what one probe and one capacity of it found. `counted` has the users'
    requests of each backend before and after these."""

    site: Site
    declared: int | None
    blocked: float
    processes: dict[int, set[int]]
    verdict: Verdict
    capacity: Capacity
    counted: tuple[list[int | None], list[int | None]]


@pytest.fixture(scope="module", params=PARAMS)
def measured(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Measured]:
    declared, blocked = EXPECTED[request.param]
    with serve_or_skip(lab, request.param) as site:
        before = requests_of(site)
        verdict, capacity = site.probe(), site.capacity(limit=32)
        counted = before, requests_of(site)
        # Now: a server that forks answers before all of its workers are there.
        processes = {backend.index: serving(backend.pid) for backend in site.backends}
        yield Measured(site, declared, blocked, processes, verdict, capacity, counted)


def test_capacity_is_as_declared(measured: Measured) -> None:
    site, declared, capacity = measured.site, measured.declared, measured.capacity
    assert site.declared == declared
    assert capacity.as_declared
    assert capacity.per_backend is not None
    if declared is None or declared > 32:
        assert (capacity.value, capacity.at_least) == (32, True)
    else:
        assert (capacity.value, capacity.at_least) == (declared, False)
        # Asked for one more per backend than is declared, each runs what it declares.
        assert capacity.per_backend == (declared // site.topology.count,) * site.topology.count


def test_one_sleeper_blocks_exactly_its_share(measured: Measured) -> None:
    verdict = measured.verdict
    assert verdict.blocked_fraction == measured.blocked
    assert verdict.non_blocking == (measured.blocked == 0)
    assert len(verdict.slow) == 1
    assert len(verdict.fast) == 2 * measured.site.topology.count


def test_every_request_names_its_backend_process_and_thread(measured: Measured) -> None:
    site, verdict, pids = measured.site, measured.verdict, measured.processes
    everything = [*verdict.slow, *verdict.fast]
    assert all(each.status == 200 for each in everything)
    for each in everything:
        assert each.backend is not None
        assert each.pid in pids[each.backend]
    assert Counter(each.backend for each in verdict.fast) == dict.fromkeys(pids, 2)
    slow = verdict.slow[0]
    beside = [each for each in verdict.fast if each.backend == slow.backend]
    one_thread = measured.declared == site.topology.count
    # Forked workers have threads of the same number.
    who_ran = (slow.pid, slow.thread)
    assert all(((each.pid, each.thread) == who_ran) == one_thread for each in beside)
    # The app's own word on it is the same.
    who = site.get("/test").json()
    assert any(who["pid"] in each for each in pids.values())


def test_counts_are_of_the_users_traffic_only(measured: Measured) -> None:
    site, (before, after) = measured.site, measured.counted
    assert after == before
    now = requests_of(site)
    for _ in range(2 * site.topology.count):
        site.get("/test").raise_for_status()
    assert requests_of(site) == [(count or 0) + 2 for count in now]


def requests_of(site: Site) -> list[int | None]:
    """The users' requests that each backend ran."""
    return [backend.requests for backend in site.backends]


def serve_or_skip(lab: Lab, topology: str, **more: str) -> Site:
    """A site; not where a program is missing that no package brings."""
    arguments: dict[str, Any] = {"slow": SLOW, **more}
    try:
        return lab.serve(topology, **arguments)
    except MissingComponent as missing:
        pytest.skip(str(missing))


def serving(pid: int) -> set[int]:
    """The processes that run a backend's app: its workers, if it has any."""
    workers = {child.pid for child in psutil.Process(pid).children()}
    return workers or {pid}


@needs("apache")
def test_cgi_starts_a_process_for_each_request_and_at_most_so_many(lab: Lab) -> None:
    # Slow enough that two of them run at once, although each has to start first.
    with serve_or_skip(lab, "cgi:processes=2", slow="/sleep?seconds=4") as site:
        assert site.declared == "unknown"
        before = {site.get("/test").json()["pid"] for _ in range(3)}
        assert len(before) == 3
        capacity = site.capacity(limit=3)
        assert (capacity.value, capacity.at_least, capacity.as_declared) == (2, False, None)
        verdict = site.probe()
        # Its process may take a second to start on a busy machine, which is a delay.
        assert verdict.blocked == verdict.delayed
        pids = [each.pid for each in (*verdict.slow, *verdict.fast)]
        assert len({*pids}) == len(pids) == 3
        # The lab's own requests stay out here too.
        assert [(b.requests, b.peak_in_flight) for b in site.backends] == [(3, 1)]


ENVIRONMENT = """
import json

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
"""


@needs("apache")
def test_a_cgi_program_has_the_environment_but_no_request_of_its_own_making(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SHOP_COLOUR", "sea green")
    monkeypatch.setenv("HTTP_PROXY", "http://elsewhere")
    with serve_or_skip(lab, "cgi", app="environment:app") as site:
        seen = site.get("/a%20b/c?x=1").json()
    assert seen["SHOP_COLOUR"] == "sea green"
    assert "HTTP_PROXY" not in seen
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("", "/a b/c", "x=1")


@needs("minutes")
def test_flup_runs_a_burst_by_its_idle_threads(lab: Lab) -> None:
    with serve_or_skip(lab, "fastcgi") as site:
        assert site.declared == "unknown"
        capacity = site.capacity(limit=24)
        # Its five idle threads take it, and those that it starts when it sees none idle.
        assert capacity.value >= 5
        assert capacity.as_declared is None
        assert site.probe().non_blocking
        backend = site.backends[0]
        assert site.get("/test").json()["pid"] == backend.pid
    with serve_or_skip(lab, "nginx2-fastcgi:spare=16") as site:
        capacity = site.capacity(limit=24)
        assert (capacity.value, capacity.at_least) == (24, True)
        assert capacity.per_backend == (12, 12)


def test_a_site_begins_with_empty_counts_and_peaks(lab: Lab) -> None:
    with lab.serve("nginx2-waitress", slow=SLOW) as site:
        site.probe()
        site.capacity()
        assert [(b.requests, b.peak_in_flight) for b in site.backends] == [(0, 0), (0, 0)]
        threads = [threading.Thread(target=site.get, args=(SLOW,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: [b.requests for b in site.backends] == [2, 2])
        for thread in threads:
            thread.join()
        assert [(b.requests, b.peak_in_flight) for b in site.backends] == [(2, 2), (2, 2)]


@pytest.mark.parametrize(("topology", "threads"), [("waitress", 4), ("tornado:threads=2", 2)])
def test_it_takes_as_many_sleepers_as_threads_to_block(
    lab: Lab, topology: str, threads: int
) -> None:
    with lab.serve(topology, slow=SLOW) as site:
        assert site.probe(sleepers=threads - 1).blocked_fraction == 0
        verdict = site.probe(sleepers=threads)
        assert verdict.blocked_fraction == 1
        assert len({each.thread for each in verdict.slow}) == threads
        assert "BLOCKS: 2 of 2 fast requests waited (100%)" in verdict.summary()


def test_a_small_load_is_accounted_for_to_the_last_request(measured: Measured) -> None:
    site = measured.site
    result = site.load(users=4, count=100, path="/test")
    assert result.outcomes == {"200": 100}
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0


@pytest.mark.parametrize("name", ["gunicorn", "uwsgi"])
def test_windows_refuses_what_forks_and_says_what_to_use(name: str) -> None:
    server = get_server(name)
    options = defaults(server.options, {})
    assert server.unsupported("linux", options) is server.unsupported("darwin", options) is None
    with pytest.raises(UsageError) as caught:
        require_server(server, "win32")
    text = str(caught.value)
    assert text.startswith(f"{name} does not run here: ")
    assert "Windows" in text
    assert all(way in text for way in ("waitress", "nginx4-waitress", "WSL"))


@needs("minutes")
def test_a_command_is_measured_without_a_declaration(lab: Lab) -> None:
    # Long, so that a busy machine is not taken for a server that makes fast requests wait.
    with lab.serve("command", command=FLASK_COMMAND, slow="/sleep?seconds=3") as site:
        assert site.declared == "unknown"
        assert site.app == FLASK_COMMAND
        capacity = site.capacity(limit=8)
        assert (capacity.value, capacity.at_least, capacity.as_declared) == (8, True, None)
        assert capacity.per_backend is None
        verdict = site.probe()
        assert verdict.non_blocking
        assert {(each.backend, each.pid, each.thread) for each in verdict.fast} == {
            (None, None, None)
        }
        backend = site.backends[0]
        assert (backend.requests, backend.peak_in_flight) == (None, None)
        assert "Running on http://127.0.0.1:" in backend.log


def test_a_command_that_runs_one_at_a_time_is_found_out(lab: Lab) -> None:
    command = f"{FLASK_COMMAND} --without-threads"
    with lab.serve("command", command=command, slow=SLOW) as site:
        assert site.capacity(limit=4).value == 1
        assert site.probe().blocked_fraction == 1


def test_the_commands_port_is_its_own(lab: Lab) -> None:
    with lab.serve("nginx2-command", command=FLASK_COMMAND) as site:
        assert len({backend.url for backend in site.backends}) == 2
        served = {site.get("/test").json()["pid"] for _ in range(4)}
        assert len(served) == 2


def test_paths_that_cannot_show_anything_are_refused(lab: Lab) -> None:
    with lab.serve("flask") as site:
        with pytest.raises(ProbeError, match=r"the slow path /test answered"):
            site.probe(slow="/test")
        words = r"/sleep\?seconds=0.1 answered after \d+ ms: .*; without --slow the lab holds"
        with pytest.raises(ProbeError, match=words):
            site.capacity(slow="/sleep?seconds=0.1")
        with pytest.raises(ProbeError, match=r"/nowhere: answered 404; nothing can be concluded"):
            site.capacity(slow="/nowhere", limit=2)
        with pytest.raises(ProbeError, match=r"the fast path /nowhere answered 404"):
            site.probe(slow=SLOW, fast="/nowhere")
        with pytest.raises(UsageError, match="sleepers=0"):
            site.probe(sleepers=0)
        with pytest.raises(UsageError, match="limit=0"):
            site.capacity(limit=0)
        with pytest.raises(UsageError, match="the slow path: path='sleep'"):
            site.probe(slow="sleep")
        assert site.backends[0].requests == 0
