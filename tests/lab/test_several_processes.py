"""Does an app survive several processes? Real apps in real servers, and what is said of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_winserve.deployment.processes import Processes
from pytest_winserve.report.store import read_json
from tests.kit.commands import run_pytest, winserve
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Serve

pytestmark = [pytest.mark.usefixtures("traces"), needs("minutes")]

forks = not_on_windows("what forks does not run on Windows")


def test_a_key_that_is_made_anew_in_each_process(serve: Serve) -> None:
    with serve("nginx2-waitress", "apps.keeps:new_key()") as site:
        found = site.several_processes()
        keys = [dict(state.keys) for state in site.deployment.own_states()]
    assert found.processes == 2
    key, cookies = found.lost
    assert key.startswith("SECRET_KEY of the Flask app 'shop' is another one in each process")
    assert "set session with GET /, and the other process answers to that" in cookies
    # Salted by each run: nothing that leaves a process can be looked up.
    ((name, digest),) = keys[0].items()
    assert name == "SECRET_KEY of the Flask app 'shop'"
    assert len(digest) == 64
    assert keys[1][name] != digest


def test_digests_of_one_key_are_alike_in_a_run_and_differ_between_runs(serve: Serve) -> None:
    seen = []
    for _ in range(2):
        with serve("nginx2-waitress", "apps.keeps:shop()") as site:
            assert site.several_processes().lost == ()
            digests = {tuple(state.keys.values()) for state in site.deployment.own_states()}
        assert len(digests) == 1
        seen.append(digests)
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    "topology", ["nginx2-waitress", pytest.param("gunicorn:workers=2", marks=forks)]
)
def test_users_in_a_dictionary_are_lost(serve: Serve, topology: str) -> None:
    with serve(topology, "apps.remembers:app", fast="/") as site:
        (why,) = site.several_processes().lost
    assert "set user with GET /, and the other process answers to that by setting user anew" in why
    assert "front.sticky=true" in why


@pytest.mark.parametrize("app", ["apps.keeps:fresh_cookie()", "apps.keeps:shop()"])
def test_an_app_that_understands_its_cookies_everywhere(serve: Serve, app: str) -> None:
    with serve("nginx2-waitress", app) as site:
        assert site.several_processes().lost == ()


def test_what_each_process_has_for_itself(serve: Serve) -> None:
    with serve("nginx2-waitress", "apps.keeps:much()") as site:
        found = site.several_processes()
        for state in site.deployment.own_states():
            assert {thread.name for thread in state.threads} == {"JobScheduler", "poller"}
    scheduler, database, log = found.apart
    assert scheduler.startswith("each of 2 processes runs the scheduler thread 'JobScheduler'")
    assert scheduler.endswith("its jobs run 2 times")
    assert database.startswith("each of 2 processes has an SQLite database in memory")
    assert log.startswith("the log shop.log is rotated by 2 processes: on Windows")
    told = "\n".join(found.told)
    assert "each of 2 processes started the thread 'poller' (wait of apps)" in told
    if sys.platform == "linux":
        assert "each of 2 processes started the process '" in told
        assert "the app listens by itself at 127.0.0.1:" in told
    assert found.lost == ()


def test_where_nothing_of_ours_runs_only_cookies_are_looked_at(serve: Serve) -> None:
    command = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1"
    with serve("nginx2-command", command=command, fast="/", slow="/") as site:
        found = site.several_processes()
    assert (found.processes, found.lost, found.apart) == (0, (), ())


def test_nothing_is_looked_at_until_it_is_asked_for(serve: Serve) -> None:
    with serve("nginx2-waitress", "apps.keeps:shop()") as site:
        site.load(users=2, count=20, path="/")
        deployment = site.deployment
        assert isinstance(deployment, Processes)
        assert deployment.own_states() == []


def test_check_has_the_test_where_there_are_several_processes_and_else_not(tmp_path: Path) -> None:
    done = run_pytest(
        "--pyargs", "pytest_winserve.checks", "-k", "several or answers",
        "--winserve-topology=waitress,nginx2-waitress", "--winserve-app=apps.keeps:much()",
        "--winserve-report=report",
    )  # fmt: skip
    last = done.out.splitlines()[-1]
    assert "3 passed" in last, done.out
    assert "skipped" not in last
    tests = read_json(tmp_path / "report" / "results.json")["tests"]
    asked = [test for test in tests if "several" in test["nodeid"]]
    assert [test["topology"] for test in asked] == ["nginx2-waitress"]
    assert any("scheduler thread 'JobScheduler'" in event for event in asked[0]["events"])


def test_recommend_proposes_one_process_and_says_why(tmp_path: Path) -> None:
    options = ("--users=2", "--duration=0.2", "--rounds=1", "--require=error_rate < 1%")
    done = winserve(
        "recommend", "waitress", "nginx2-waitress", "--app=apps.keeps:new_key()", *options,
        XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    said = " ".join(done.out.split())
    assert done.status == 0, done.out + done.err
    assert "RECOMMENDED: waitress" in said
    assert "several lose its users. Not proposed for that: nginx2-waitress." in said
    assert "- SECRET_KEY of the Flask app 'shop' is another one in each process" in said
    assert "2 of 2" not in said
    none = winserve(
        "recommend", "nginx2-waitress", "--app=apps.keeps:new_key()", *options,
        XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    assert none.status == 1
    assert "name one with one process, such as waitress, or mend the app" in " ".join(
        none.out.split()
    )


def test_recommend_prefers_one_process_where_each_has_its_own(tmp_path: Path) -> None:
    done = winserve(
        "recommend", "waitress", "nginx2-waitress", "--app=apps.keeps:much()", "--users=2",
        "--duration=0.2", "--rounds=1", "--require=error_rate < 1%",
        XDG_CACHE_HOME=str(tmp_path),
    )  # fmt: skip
    said = " ".join(done.out.split())
    assert "RECOMMENDED: waitress" in said, done.out + done.err
    assert "Set aside for that, though it met the criteria: nginx2-waitress." in said
    assert "- each of 2 processes runs the scheduler thread 'JobScheduler'" in said
