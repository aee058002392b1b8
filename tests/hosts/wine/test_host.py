"""Windows builds of Python, the servers and nginx under Wine: the same verdicts as on Linux, and
what only Windows does."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_winserve import Lab, Request, Site
from pytest_winserve.errors import UsageError
from pytest_winserve.hosts import require_host, why_missing
from tests.kit.commands import clean_environment, winserve
from tests.kit.components import needs
from tests.kit.fixtures import SLOW

from .conftest import WorkersWine

pytestmark = [needs("wine"), pytest.mark.usefixtures("shared_wine")]

ARTICLE = {  # blocked share of the fast requests, requests that run at once
    "flask": (0.0, None),
    "nginx1": (0.0, None),
    "nginx4": (0.0, None),
    "tornado": (1.0, 1),
    "nginx4-tornado": (0.25, 4),
}
WHEELS = {
    "gevent": (0.0, None),
    "gevent:patch=false": (1.0, 1),
    "cheroot": (0.0, 10),
    "nginx2-hypercorn:threads=3": (0.0, 6),
    "nginx2-uvicorn:threads=3": (0.0, 6),
}
LIMIT = 12
WAITRESS_CLIENTS = 98
"""waitress counts its trigger and its listener among the connections of `connection_limit`."""


@pytest.fixture(scope="module")
def lab(workers_wine: WorkersWine) -> Iterator[Lab]:
    """One gateway for all tests, opened here: it belongs to none of them."""
    workers_wine.warm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(workers_wine.cache))
        lab = Lab("wine")
    with lab:
        require_host(lab.host)
        yield lab


def test_several_processes_tell_what_they_have(lab: Lab) -> None:
    with lab.serve("nginx2-waitress:front.sticky=true") as site:
        found = site.several_processes()
        assert (found.processes, found.lost, found.apart) == (2, (), ())
        assert {site.get("/test").json()["pid"] for _ in range(4)} < {b.pid for b in site.backends}


@pytest.mark.parametrize("topology", ARTICLE | WHEELS)
def test_topologies_do_what_they_do_on_linux(lab: Lab, topology: str) -> None:
    blocked, at_once = (ARTICLE | WHEELS)[topology]
    with lab.serve(topology) as site, Lab().serve(topology, slow=SLOW) as here:
        for each in (site, here):
            assert each.probe().blocked_fraction == blocked
            capacity = each.capacity(limit=LIMIT)
            assert (capacity.value, capacity.at_least) == (at_once or LIMIT, at_once is None)
        result = site.load(users=10, count=120)
        assert (result.sent, result.answered, dict(result.outcomes)) == (120, 120, {"200": 120})
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        sides = {side.name: side.seen for side in result.ledger.sides}
        if topology.startswith("nginx"):
            assert sides.pop("front's log") == 120
        assert sum(sides.values()) == 120


def test_granian_needs_a_newer_wine(lab: Lab) -> None:
    with lab.host.open():
        wine = lab.host.about()["os"] if why_missing(lab.host, "waitress") is None else ""
        why = why_missing(lab.host, "granian")
    if "Wine 8" in wine:
        assert why == (
            "granian does not run here: its compiled part needs the system's "
            "bcryptprimitives.dll, which Wine has since 9.0"
        )
    else:
        assert why is None


def test_it_is_windows(lab: Lab) -> None:
    with lab.serve("nginx2-waitress") as site:
        assert site.machine["os"].startswith("Windows-10-")
        assert "Wine" in site.machine["os"]
        assert "win32" in site.machine["python_build"] or "MSC" in site.machine["python_build"]
        assert site.deployment.binary is not None
        assert site.deployment.binary.path.name.endswith("nginx.exe")
        assert "10022" in site.logs()["nginx"] or "select" in site.logs()["nginx"]


def test_each_test_runs_on_each_host_and_topology(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_blocks(winserve):\n"
        "    whole = winserve.probe(slow='/sleep?seconds=0.5').blocked_fraction\n"
        "    assert whole == (1.0 if str(winserve.topology) == 'tornado' else 0.0)\n"
        "def test_counts(winserve):\n"
        "    assert winserve.load(users=2, count=8).ledger.unaccounted == 0\n",
        "utf-8",
    )
    options = ["--winserve-host=local,wine", "--winserve-topology=nginx4,tornado"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir", ".",
         "--winserve-report=report", *options, "test_it.py"],
        cwd=tmp_path, capture_output=True, encoding="utf-8", env=clean_environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed = [line.split()[0] for line in done.stdout.splitlines() if " PASSED " in line]
    assert sorted(passed) == sorted(
        f"test_it.py::{test}[{host}{topology}]"
        for test in ("test_blocks", "test_counts")
        for host in ("", "wine-")
        for topology in ("nginx4", "tornado")
    )
    assert "winserve: host wine: Wine runs the Windows builds" in done.stdout
    data = json.loads((tmp_path / "report" / "results.json").read_text("utf-8"))
    assert list(data["environment"]["machines"]) == ["wine"]
    assert "nginx.exe" in data["environment"]["machines"]["wine"]["versions"]["nginx"]
    assert "nginx.exe" not in data["environment"]["versions"]["nginx"]
    assert {(test["host"], test["topology"]) for test in data["tests"]} == {
        (host, topology) for host in ("local", "wine") for topology in ("nginx4", "tornado")
    }


def test_an_app_in_a_folder_of_here(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my app, ü"
    folder.mkdir()
    (folder / "hello.py").write_text(
        "import os\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain; charset=utf-8')])\n"
        "    print('served →', os.name)\n"
        "    return [os.getcwd().encode()]\n",
        "utf-8",
    )
    monkeypatch.chdir(folder)
    with lab.serve("nginx1-waitress", "hello:app") as site:
        assert site.get("/").text == "Z:" + str(folder).replace("/", "\\")
        assert "served → nt" in site.logs()["backend-0"]


def test_behind_nginx_the_app_is_told_of_its_client(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "who.py").write_text(
        "from flask import Flask, redirect, request\n"
        "from werkzeug.middleware.proxy_fix import ProxyFix\n"
        "app = Flask(__name__)\n"
        "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)\n"
        "@app.route('/', methods=['GET', 'POST'])\n"
        "def who():\n"
        "    return {'address': request.remote_addr, 'url': request.url}\n"
        "@app.get('/old')\n"
        "def old():\n"
        "    return redirect('https://' + request.host + '/new')\n"
    )
    monkeypatch.chdir(tmp_path)
    with lab.serve("nginx2-waitress", "who:app", fast="/") as site:
        asked = http.client.HTTPConnection(
            *site.deployment.address, source_address=("127.0.0.2", 0), timeout=60
        )
        asked.request("GET", "/", headers={"Host": "shop.example", "X-Forwarded-For": "192.0.2.1"})
        seen = json.loads(asked.getresponse().read())
        asked.close()
        assert seen == {"address": "127.0.0.2", "url": "http://shop.example/"}
        upload = Request("/", method="POST", body=bytes(2_000_000))
        refused = site.load(users=1, count=10, requests=[upload])
        assert refused.ledger is not None
        assert any("front.body_limit=2 lets" in note for note in refused.ledger.notes)
        (words,) = site.load(users=1, count=10, path="/old").astray
        assert "another scheme" in words


def test_a_command_of_ones_own(lab: Lab) -> None:
    command = "python -m flask --app pytest_winserve.sample_app run --port {port}"
    with lab.serve("nginx2-command", command=command, slow="/sleep?seconds=1") as site:
        assert site.probe().non_blocking
        result = site.load(users=2, count=20)
        assert result.answered == 20
        assert {key: share.answers for key, share in result.by_backend.items()} == {
            "0": 10, "1": 10,
        }  # fmt: skip


def test_a_backend_that_dies_is_told(lab: Lab) -> None:
    with lab.serve("flask") as site:
        with pytest.raises(OSError, match="onnection"):
            site.get("/misbehave?crash=1")
        deadline = time.perf_counter() + 20
        while not site.deaths():
            assert time.perf_counter() < deadline
        (death,) = site.deaths()
        assert death.startswith("backend-0 (pid ")
        assert "exited with status" in death


def test_waitress_serves_98_clients_and_lets_the_others_wait(lab: Lab) -> None:
    # facts of waitress: connection_limit 100, and no answer beyond it, not even a refusal.
    with lab.serve("waitress") as site:
        clients = [Client(site) for _ in range(WAITRESS_CLIENTS)]
        assert [client.ask() for client in clients] == [200] * WAITRESS_CLIENTS
        late = Client(site)  # the system connects it: waitress does not know yet
        late.send()
        assert late.waits(1.0)
        assert clients[0].ask() == 200  # who is in, is served
        clients[0].close()
        assert late.status() == 200
        for client in [*clients[1:], late]:
            client.close()


class Client:
    """A client that keeps its connection."""

    def __init__(self, site: Site) -> None:
        self._connection = http.client.HTTPConnection(*site.deployment.address, timeout=30)
        self._connection.connect()

    def send(self) -> None:
        self._connection.request("GET", "/test")

    def status(self) -> int:
        response = self._connection.getresponse()
        response.read()
        return response.status

    def ask(self) -> int:
        self.send()
        return self.status()

    def waits(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._connection.sock.settimeout(seconds)
        try:
            self._connection.sock.recv(1)
        except TimeoutError:
            self._connection.sock.settimeout(30)
            return True
        return False

    def close(self) -> None:
        self._connection.close()


def test_localhost_has_two_addresses_and_one_is_in_vain(lab: Lab, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("platform: only root can give one process a hosts file of its own")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", "utf-8")
    code = (
        "from pytest_winserve import Lab\n"
        "with Lab('wine') as lab:\n"
        "    for topology in ('nginx2-tornado', 'nginx2-tornado:front.localhost=true'):\n"
        "        with lab.serve(topology) as site:\n"
        "            result = site.load(users=4, count=48, think_time=1)\n"
        "            assert result.answered == 48 and result.ledger.unaccounted == 0\n"
        "            print(*result.ledger.notes, sep='; ')\n"
        "            print('10061' in site.logs()['nginx'])\n"
    )
    inside = f"mount --bind hosts /etc/hosts && {shlex.join([sys.executable, '-c', code])}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside],
        cwd=tmp_path, capture_output=True, encoding="utf-8", env=clean_environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plain, plain_refused, named, named_refused = done.stdout.splitlines()
    assert (plain, plain_refused, named_refused) == ("", "False", "True")
    # One peer or both, as the round robin has it; a failed one is left out for 10 s, which is what
    # the first requests to the site did, and the load takes longer than that.
    assert named.startswith("no backend listens at [::1]:")


@pytest.mark.parametrize("server", ["gunicorn", "uwsgi"])
def test_what_windows_cannot_run_is_refused_with_the_reason(lab: Lab, server: str) -> None:
    with pytest.raises(UsageError, match=f"{server} does not run here: .*[Ww]indows"):
        lab.serve(f"nginx2-{server}")
    done = winserve("check", server, "--host=wine")
    assert done.status == 2
    assert f"{server} does not run here: " in done.out + done.err


def test_all_is_what_runs_on_windows(lab: Lab) -> None:
    from pytest_winserve.lab.available import Surveys, expand

    found = {str(topology) for topology in expand("all", lab.host, None, Surveys())}
    assert {"flask", "nginx4", "tornado", "waitress", "nginx4-waitress"} <= found
    assert not {"gunicorn", "uwsgi", "nginx4-gunicorn"} & found
