"""How sites under Wine end, whoever is killed: nothing is left, and what happened is said."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import HostLost
from tests.kit.commands import PYTEST_OPTIONS, Start, winserve
from tests.kit.components import needs
from tests.kit.loads import strike_in_load
from tests.kit.lost_hosts import BEFORE, LONG, SECONDS, USERS, WAITS

from .conftest import OwnWine, ended

pytestmark = needs("wine")


def patient_lab() -> Lab:
    # On a machine that is busy Wine starts a site in 20 s.
    return Lab("wine", start_timeout=90.0)


# -- the lab -------------------------------------------------------------------------------------


@pytest.mark.parametrize("hangs", [False, True], ids=["", "gateway-hangs"])
def test_pytest_is_killed(own_wine: OwnWine, start: Start, hangs: bool) -> None:
    Path("test_waits.py").write_text(WAITS)
    options = ("--winserve-host=wine", "--winserve-topology=nginx2-tornado")
    run = start("pytest", *PYTEST_OPTIONS, *options)
    run.until(Path("up").exists, "no site", 120)
    assert len(own_wine.look()) == 3
    assert len(own_wine.backends()) == 2
    assert len(own_wine.layout.servers()) == 1
    if hangs:
        own_wine.gateway().suspend()
    run.process.kill()
    run.process.wait()
    own_wine.gone()


def test_ctrl_c(own_wine: OwnWine, start: Start, tmp_path: Path) -> None:
    run = start("winserve", "up", "nginx2", "--host", "wine")
    run.wait_for("  backend-1: pid ", 120)
    assert len(own_wine.look()) == 3
    assert len(own_wine.folders()) == 1
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does, to the whole group
    assert ended(run) == 0
    assert "stopping" in run.text().splitlines()
    assert "Traceback" not in run.text()
    own_wine.gone()
    # Orderly: whoever is killed leaves these.
    assert own_wine.folders() == []
    assert list((tmp_path / "temp").glob("winserve-host-*")) == []


# -- two labs ------------------------------------------------------------------------------------


def test_two_at_once(shared_wine: OwnWine, start: Start) -> None:
    options = ("--host", "wine", "--count", "200", "--users", "5")
    names = ("flask", "tornado")
    runs = [start("winserve", "load", name, *options, "--report", name) for name in names]
    assert [ended(run) for run in runs] == [0, 0]
    for name in names:
        (test,) = json.loads(Path(name, "results.json").read_text("utf-8"))["tests"]
        (result,) = test["results"]
        assert (test["topology"], test["host"]) == (name, "wine")
        assert result["outcomes"] == {"200": 200}
        assert result["ledger"]["unaccounted"] == 0


def test_the_other_lab_is_killed(shared_wine: OwnWine, start: Start) -> None:
    lab = patient_lab()
    with lab.serve("flask") as site:
        other = start("winserve", "up", "flask", "--host", "wine")
        other.wait_for("  backend-0: pid ", 120)
        assert len(shared_wine.backends()) == 2

        def strike() -> None:
            other.process.kill()
            other.process.wait()

        striker = strike_in_load(site, strike, BEFORE)
        result = site.load(users=USERS, duration=SECONDS)
        striker.join()
        assert result.outcomes.keys() == {"200"}
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        other.until(lambda: len(shared_wine.backends()) == 1, "its backend stays")
        assert site.load(users=USERS, count=50).outcomes == {"200": 50}
        assert site.deaths() == []


# -- what runs over there ------------------------------------------------------------------------


def test_the_server_of_wine_is_killed(own_wine: OwnWine) -> None:
    lab = patient_lab()
    site = lab.serve("nginx2")
    own_wine.look()
    (server,) = own_wine.layout.servers()
    striker = strike_in_load(site, server.kill, BEFORE)
    with pytest.raises(HostLost) as lost:
        site.load(users=USERS, duration=LONG)
    striker.join()
    said = str(lost.value)
    assert said.startswith("the gateway to the host wine was lost: Wine's server has ended")
    sent = re.search(r"\nwhat is known: \d+ s, (\d+) sent, ", said)
    assert sent is not None, said
    assert int(sent[1]) >= BEFORE
    assert site.deaths() == [site.deployment.lost]
    site.close()
    own_wine.gone()
    with lab.serve("flask") as again:
        assert again.get("/test").status_code == 200


def test_the_gateway_is_killed(own_wine: OwnWine) -> None:
    lab = patient_lab()
    site = lab.serve("nginx2")
    own_wine.look()
    striker = strike_in_load(site, own_wine.gateway().kill, BEFORE)
    with pytest.raises(HostLost) as lost:
        site.load(users=USERS, duration=LONG)
    striker.join()
    said = str(lost.value)
    assert said.startswith("the gateway to the host wine was lost: ")
    assert "its Python was killed by signal 9 (SIGKILL)\nwhat is known: " in said
    assert site.deaths() == [site.deployment.lost]
    site.close()
    own_wine.gone()
    with lab.serve("flask") as again:
        assert again.get("/test").status_code == 200


def test_a_backend_is_killed(shared_wine: OwnWine) -> None:
    with patient_lab() as lab:
        with lab.serve("nginx2") as site:
            striker = strike_in_load(site, shared_wine.backends()[0].kill, BEFORE)
            result = site.load(users=USERS, duration=SECONDS)
            striker.join()
            assert result.ledger is not None
            (note,) = [n for n in result.ledger.notes if n.startswith("died during the load: ")]
            pids = {f"backend-{each.index} (pid {each.pid})" for each in site.backends}
            who, _, how = note.removeprefix("died during the load: ").partition(" exited with ")
            assert who in pids
            assert re.fullmatch(r"status \d+", how)
            assert result.ledger.unaccounted == 0
            assert result.sent == sum(result.outcomes.values())
            # The other one goes on.
            assert site.get("/test").status_code == 200
            (death,) = site.deaths()
            assert note == f"died during the load: {death}"
        with lab.serve("nginx2") as again:
            assert again.get("/test").status_code == 200
            assert again.deaths() == []


def test_the_console_of_nginx_is_not_left_behind_by_it(shared_wine: OwnWine) -> None:
    with patient_lab().serve("nginx1"):
        # nginx's worker has one, which may end a moment later than nginx; this one never does.
        (console,) = shared_wine.windows(r"C:\windows\system32\conhost.exe")
        console.suspend()
    console.kill()


# -- what differs over there ---------------------------------------------------------------------


def test_another_package_over_there(shared_wine: OwnWine) -> None:
    file = shared_wine.layout.package / "pytest_winserve" / "remote" / "agent.py"
    shared_wine.rewrite(file, file.read_bytes() + b"# another one\n")
    command = ("load", "flask", "--host", "wine", "--count", "5")
    done = winserve(*command)
    assert done.status == 3
    line = r"pytest-winserve is (\S+ \(\w{12}\)) over there, but (\S+ \(\w{12}\)) here"
    versions = re.search(line, done.err)
    assert versions is not None, done.err
    assert versions[1] != versions[2]
    assert "to get it: winserve setup wine" in done.err
    assert "Traceback" not in done.err
    assert winserve("setup", "wine").status == 0
    done = winserve(*command)
    assert done.status == 0, done.err


def test_an_app_that_lacks_a_package_over_there(shared_wine: OwnWine) -> None:
    Path("shop.py").write_text("import not_over_there\n")
    done = winserve("up", "flask", "--host", "wine", "--app", "shop:app")
    assert done.status == 1
    assert "No module named 'not_over_there'" in done.err
    assert "winserve setup wine --with PACKAGE" in done.err
