"""A process of the site is killed while a load runs: every request stays accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Site
from pytest_winserve.system.process_tree import kill
from pytest_winserve.tags import load_tag
from tests.kit.commands import run_pytest
from tests.kit.components import needs
from tests.kit.loads import SECONDS, USERS, killed, load_and, notes
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Serve
from tests.kit.waiting import eventually

pytestmark = [
    needs("minutes"),
    pytest.mark.usefixtures("traces"),
    not_on_windows("Windows has no signals, which the notes name"),
]


@pytest.mark.parametrize("keepalive", [True, False])
def test_the_only_backend(serve: Serve, keepalive: bool) -> None:
    with serve("flask") as site:
        backend = psutil.Process(site.backends[0].pid)
        result = load_and(site, backend.kill, keepalive=keepalive)
        assert notes(result) == killed("backend-0", backend.pid)
        assert result.outcomes["refused"] > 0
        assert site.deaths() == [f"backend-0 (pid {backend.pid}) was killed by signal 9 (SIGKILL)"]


@pytest.mark.parametrize("topology", ["nginx2", "nginx2:front.retry=false"])
def test_one_of_two_backends(serve: Serve, topology: str) -> None:
    with serve(topology) as site:
        backend = psutil.Process(site.backends[0].pid)
        result = load_and(site, backend.kill)
        assert notes(result) == killed("backend-0", backend.pid)
        assert "refused" not in result.outcomes
        # The other one goes on, and the site with it.
        assert site.get("/test").status_code == 200


@pytest.mark.parametrize("topology", ["flask", "nginx2-waitress"])
def test_a_server_that_stops_answering_does_not_hold_the_load_up(
    serve: Serve, topology: str
) -> None:
    with serve(topology) as site:
        stopped = [psutil.Process(backend.pid) for backend in site.backends]

        def strike() -> None:
            for process in stopped:
                process.suspend()

        try:
            result = load_and(site, strike, timeout=0.5)
        finally:
            for process in stopped:
                process.resume()
        # Each user's last request may have begun at the very end. What is over is looked for every
        # 50 ms; the rest of the second is for a busy machine.
        assert SECONDS <= result.elapsed <= SECONDS + 0.5 + 1
        assert result.outcomes["timeout"] >= USERS
        waited = result.by_outcome["timeout"].total
        assert waited.min is not None
        assert waited.min >= 0.5


def test_the_master_of_nginx(serve: Serve) -> None:
    with serve("nginx2") as site:
        master = psutil.Process(site.deployment.pids()["nginx"])
        result = load_and(site, master.kill)
        assert notes(result) == killed("nginx", master.pid)


def test_the_worker_of_nginx(serve: Serve) -> None:
    with serve("nginx2") as site:
        (worker,) = psutil.Process(site.deployment.pids()["nginx"]).children()
        result = load_and(site, worker.kill)
        assert notes(result) == [
            f"died during the load: nginx: worker process {worker.pid} exited on signal 9"
        ]
        assert result.outcomes.keys() > {"200"}
        # Its master starts another one.
        assert site.get("/test").status_code == 200


@pytest.mark.parametrize(
    "topology",
    [
        "gunicorn:workers=2",
        "nginx2-gunicorn:threads=4:front.max_fails=0",
        "uwsgi:processes=2",
        "nginx2-uwsgi:threads=4:front.max_fails=0",
    ],
)
def test_a_worker_of_a_server_that_forks(serve: Serve, topology: str) -> None:
    with serve(topology) as site:
        worker = psutil.Process(serving(site)[0])
        # Long enough for another one to take its place.
        result = load_and(site, worker.kill, duration=2 * SECONDS)
        # Its master lives and has started another one.
        assert notes(result) == []
        assert site.deaths() == []
        assert worker.pid not in serving(site)
        # What the dead one ran is over, in all and in each run.
        eventually(lambda: not any(site.deployment.in_flight(load_tag(run)) for run in range(9)))
        assert result.ledger is not None
        assert not any("still run" in note for note in result.ledger.notes)
        assert site.capacity(slow="/sleep?seconds=0.4").as_declared


def serving(site: Site) -> list[int]:
    """The workers of the first backend."""
    return [child.pid for child in psutil.Process(site.backends[0].pid).children()]


def test_the_master_of_a_server_that_forks(serve: Serve) -> None:
    with serve("gunicorn:workers=2") as site:
        master = psutil.Process(site.backends[0].pid)
        result = load_and(site, master.kill)
        # Its workers go on until they notice.
        assert notes(result) == killed("backend-0", master.pid)


def test_the_master_of_a_server_that_is_only_kept(serve: Serve) -> None:
    with serve("uwsgi:processes=2") as site:
        master = psutil.Process(site.backends[0].pid)
        result = load_and(site, master.kill)
        (note,) = notes(result)
        assert note.startswith("died during the load: backend-0 ")
        assert f"uWSGI (pid {master.pid}) was killed by signal 9" in site.backends[0].log


def test_everything(serve: Serve) -> None:
    with serve("nginx2") as site:
        processes = [psutil.Process(pid) for pid in site.deployment.pids().values()]
        processes += processes[0].children()

        def strike() -> None:
            kill(processes)

        result = load_and(site, strike)
        assert len(notes(result)) == 3
        assert result.outcomes["refused"] > 0


def test_the_app_ends_its_process(serve: Serve) -> None:
    with serve("flask") as site:

        def strike() -> None:
            with pytest.raises(OSError):
                site.get("/misbehave?crash=3")

        result = load_and(site, strike)
        (note,) = notes(result)
        assert note.endswith("exited with status 3")


DIES = """
import psutil

def test_first(winserve):
    psutil.Process(winserve.backends[0].pid).kill()
    while not winserve.deaths():
        pass

def test_second(winserve):
    assert winserve.get("/test").status_code == 200
    assert winserve.deaths() == []

def test_third(winserve):
    assert winserve.get("/test").status_code == 200
"""


def test_the_pool_replaces_a_dead_site_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_dies.py").write_text(DIES)
    done = run_pytest("--winserve-topology=flask", "--winserve-report=report")
    assert done.status == 0
    assert "3 passed" in done.out
    tests = json.loads((tmp_path / "report" / "results.json").read_text())["tests"]
    first, second, third = (test["events"] for test in tests)
    assert [event.split(" (pid ")[0] for event in first] == ["died during this test: backend-0"]
    assert [event.split(" (pid ")[0] for event in second] == [
        "replaced before this test: backend-0"
    ]
    assert second[0].endswith("was killed by signal 9 (SIGKILL)")
    assert third == []
    assert "died during this test: backend-0" in done.out
