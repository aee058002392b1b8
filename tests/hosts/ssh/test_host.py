"""Topologies on a machine behind a real OpenSSH server: this machine, as if it were another."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import (
    HostLost,
    MissingComponent,
    StartError,
    UsageError,
    WinserveError,
)
from pytest_winserve.hosts import open_host
from pytest_winserve.hosts.ssh import client
from pytest_winserve.lab.available import Surveys, expand
from pytest_winserve.report.store import read_json
from pytest_winserve.shipping import contents
from pytest_winserve.system.process_tree import alive
from pytest_winserve.version import __version__
from tests.kit.commands import PYTEST_OPTIONS, clean_environment, command_line, winserve
from tests.kit.components import needs
from tests.kit.ports import free_port
from tests.kit.waiting import eventually

from .conftest import Server

pytestmark = needs("ssh")

FROM = pytest.mark.parametrize("load_from", ["here", "host"])


def pytest_there(server: Server, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pytest", *PYTEST_OPTIONS, f"--winserve-host={server.host()}",
            *more, str(folder)]  # fmt: skip


# -- what works ----------------------------------------------------------------------------------


@FROM
def test_a_site_over_there_is_like_one_here(there: Server, load_from: str) -> None:
    with Lab(there.host(), load_from=load_from) as lab, lab.serve("nginx2-tornado") as site:
        assert site.host == there.host()
        assert site.get("/test").json()["pid"] in [backend.pid for backend in site.backends]
        assert site.probe().blocked_fraction == 0.5
        found = site.capacity()
        assert (found.value, found.per_backend) == (2, (1, 1))
        result = site.load(users=4, count=200)
        assert (result.sent, result.answered, dict(result.outcomes)) == (200, 200, {"200": 200})
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        assert result.ledger.lines()[1] == "front's log 200, backend 0 100, backend 1 100"
        assert {key: share.answers for key, share in result.by_backend.items()} == {
            "0": 100, "1": 100,
        }  # fmt: skip
        assert (result.url == site.url) is (load_from == "here")
        over_there = there.processes()
        assert {backend.pid for backend in site.backends} <= {each.pid for each in over_there}
    eventually(lambda: not there.processes())


def test_what_is_sent_over_there_meets_refused_connections(there: Server) -> None:
    counts = {}
    for load_from in ("here", "host"):
        with Lab(there.host(), load_from=load_from).serve("flask") as site:
            psutil.Process(site.backends[0].pid).kill()
            eventually(site.deaths)
            result = site.load(users=1, count=5)
            counts[load_from] = dict(result.outcomes)
    assert counts["host"] == {"refused": 5}
    assert "refused" not in counts["here"]
    assert sum(counts["here"].values()) == 5


def test_an_error_in_what_is_sent_over_there_is_raised_here(there: Server) -> None:
    with Lab(there.host(), load_from="host").serve("flask") as site:
        with pytest.raises(WinserveError, match="the slow path /test answered after"):
            site.probe(slow="/test")
        assert site.load(users=1, count=3).answered == 3


def test_an_interrupted_load_ends_over_there_too(there: Server) -> None:
    with Lab(there.host(), load_from="host").serve("flask") as site:

        def stop(text: str) -> None:
            if " sent" in text:
                raise KeyboardInterrupt

        site.observer.progress = stop  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            site.load(users=2, duration=600)
        eventually(lambda: not workers(there))
        assert site.deaths() == []


def workers(server: Server) -> list[psutil.Process]:
    return server.running("pytest_winserve.load.engines.builtin.worker")


def test_the_same_tests_on_both_hosts(there: Server, tmp_path: Path) -> None:
    tests = tmp_path / "work"
    tests.mkdir()
    (tests / "test_it.py").write_text(
        "def test_blocks(winserve):\n"
        "    whole = winserve.probe(slow='/sleep?seconds=0.5').blocked_fraction\n"
        "    assert whole == (1.0 if str(winserve.topology) == 'tornado' else 0.0)\n"
        "def test_counts(winserve):\n"
        "    assert winserve.load(users=2, count=8).ledger.unaccounted == 0\n",
        "utf-8",
    )
    command = pytest_there(
        there, tests, f"--winserve-host=local,{there.host()}", "--winserve-load-from=host",
        "--winserve-topology=nginx4,tornado", f"--winserve-report={tmp_path / 'report'}",
    )  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=clean_environment(), check=False,
        cwd=tests,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads((tmp_path / "report" / "results.json").read_text("utf-8"))
    assert {(test["host"], test["topology"]) for test in data["tests"]} == {
        (host, topology) for host in ("local", there.host()) for topology in ("nginx4", "tornado")
    }
    assert data["environment"]["settings"]["load_from"] == "host"
    assert "a load from here goes through ssh" in " ".join(done.stdout.split())


# -- what is brought there -----------------------------------------------------------------------


def brought(server: Server) -> list[str]:
    return sorted(path.name for path in (server.cache / "pytest-winserve" / "host").glob("*"))


def test_nothing_is_brought_there_unless_asked(there: Server, bare: str) -> None:
    with pytest.raises(
        MissingComponent,
        match=r"pytest-winserve is not over there\n  to get it: the option --winserve-provision",
    ):
        Lab(there.host(python=bare)).serve("flask")
    assert brought(there) == []


def test_provisioned(
    there: Server, bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / ".env").write_text("SECRET=1\n", "utf-8")
    (app / "greeting.txt").write_text("hello", "utf-8")
    (app / "hello.py").write_text(
        "import os\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    there = sorted({*os.listdir()} - {'__pycache__'})\n"
        "    return [open('greeting.txt', 'rb').read(), repr(there).encode()]\n",
        "utf-8",
    )
    monkeypatch.chdir(app)
    host = there.host(python=bare)
    with Lab(host, provision=True) as lab:
        with lab.serve("nginx2-waitress") as site:
            assert site.load(users=2, count=20).answered == 20
            assert site.machine["note"].count("; sent there: ") == 1
            note = site.machine["note"]
            assert re.search(
                r"; sent there: pytest-winserve and its packages, \d+ kB, into /", note
            )
        with lab.serve("waitress", "hello:app") as site:
            assert site.get("/").text == "hello['greeting.txt', 'hello.py']"
            assert f"; sent there: {app} (2 files), " in site.machine["note"]
        package, app_part, packages = brought(there)[1], brought(there)[0], brought(there)[2]
        assert package == f"package-{contents.fingerprint()}"
        assert app_part.startswith("app-")
        assert packages.startswith("packages-")
    before = {path: path.stat().st_ino for path in there.cache.rglob("*")}
    # It is there now, and nothing is sent again.
    with Lab(host).serve("tornado") as site:
        assert site.get("/test").status_code == 200
        assert "sent there" not in site.machine["note"]
    with Lab(host, provision=True).serve("waitress", "hello:app") as site:
        assert site.get("/").status_code == 200
        assert "sent there" not in site.machine["note"]
    after = {path: path.stat().st_ino for path in there.cache.rglob("*") if ".pyc" not in path.name
             and path.name != "__pycache__"}  # fmt: skip
    assert after.items() <= before.items()


@pytest.mark.usefixtures("packages_there")
def test_the_command_says_what_it_sent(there: Server, bare: str, tmp_path: Path) -> None:
    done = subprocess.run(
        command_line(
            "winserve", "load", "waitress", "--host", there.host(python=bare), "--provision",
            "--count", "5", "--load-from", "host",
        ),
        capture_output=True, encoding="utf-8", env=clean_environment(), check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sent there: pytest-winserve and its packages" in " ".join(done.stdout.split())


@pytest.mark.usefixtures("packages_there")
def test_what_it_can_run_is_asked_when_it_has_the_package(there: Server, bare: str) -> None:
    host = open_host(there.host(python=bare), provision=True)
    found = {str(each) for each in expand("all", host, None, Surveys())}
    assert {"flask", "nginx4-waitress"} <= found


def test_an_app_that_is_over_there_already(there: Server, tmp_path: Path) -> None:
    folder = tmp_path / "over there"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[3] / "examples" / "shop" / "shop.py", folder)
    with Lab(there.host(f"//chdir={folder}")).serve("waitress", "shop:create_app()") as site:
        assert site.get("/").status_code in (200, 404)
    with pytest.raises(UsageError, match=r"there is no module 'shop'(.|\n)*installed there"):
        Lab(there.host()).serve("waitress", "shop:create_app()")
    with pytest.raises(UsageError, match=r"chdir=/no/such: .*No such file or directory"):
        Lab(there.host("//chdir=/no/such")).serve("waitress")


@pytest.mark.usefixtures("packages_there")
@pytest.mark.parametrize("home", [True, False], ids=["home", "large"])
def test_a_folder_that_is_not_sent(
    there: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path if home else tmp_path / "home" / "app"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "data.bin").open("wb") as file:
        file.truncate(60_000_000)
    monkeypatch.chdir(folder)
    why = "it has your home folder in it" if home else "60 MB, at most 50 are; .*data.bin"
    with pytest.raises(UsageError, match=f"is not sent: {why}"):
        Lab(there.host(), provision=True).serve("waitress", "hello:app")
    assert not [name for name in brought(there) if name.startswith("app")]


@pytest.mark.usefixtures("packages_there")
def test_a_package_of_another_version_there(there: Server, tmp_path: Path) -> None:
    contents.copy_to(tmp_path / "other")
    changed = tmp_path / "other" / "pytest_winserve" / "version.py"
    changed.write_text(changed.read_text("utf-8").replace(__version__, "0.0.9"), "utf-8")
    python = f"env PYTHONPATH={tmp_path / 'other'} {sys.executable}"
    with pytest.raises(
        MissingComponent, match=r"pytest-winserve is 0\.0\.9 .*(.|\n)*--winserve-provision"
    ):
        Lab(there.host(python=python)).serve("flask")
    # The option brings its own beside it, and that is what runs then.
    with Lab(there.host(python=python), provision=True).serve("flask") as site:
        assert site.get("/test").status_code == 200


def test_a_full_disk_there(server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("platform: only root can mount a small disk")
    server.cache.mkdir()
    mount = f'mount -t tmpfs -o size=64k none "{server.cache}" && exec "$@"'
    server.prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    server.start()
    with pytest.raises(StartError, match=r"cannot bring package-\w+: .*No space left on device"):
        Lab(server.host(), provision=True).serve("flask")


def test_a_disk_there_that_fills_during_a_load(server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("platform: only root can mount a small disk")
    small = server.folder / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=3m none "{small}" && exec "$@"'
    server.prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    server.environment["TMPDIR"] = str(small)
    server.start()

    def run(line: str) -> None:
        ssh = ["ssh", "-F", str(server.config), "there", line]
        subprocess.run(ssh, check=True, capture_output=True, timeout=60)

    with Lab(server.host()).serve("nginx1-waitress") as site:
        before = site.load(users=2, count=20).ledger
        assert before is not None
        assert before.unaccounted == 0
        run(f"cat /dev/zero >{small}/fill 2>/dev/null || true")
        ledger = site.load(users=2, count=500).ledger
        assert ledger is not None
        assert ledger.unaccounted
        assert ledger.notes[-1].startswith("no space left on device: ")
        run(f"rm {small}/fill")


# -- what does not -------------------------------------------------------------------------------


def no_key(server: Server) -> None:
    (server.folder / "authorized_keys").write_text("", "utf-8")


def unknown(server: Server) -> None:
    server.known_hosts.write_text("", "utf-8")


def another(server: Server) -> None:
    key = Path(f"{server.key('other')}.pub").read_text("utf-8").split()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {key[0]} {key[1]}\n", "utf-8")


def elsewhere(server: Server) -> None:
    port = free_port()
    text = server.config.read_text("utf-8")
    server.config.write_text(text.replace(f"Port {server.port}", f"Port {port}"), "utf-8")


def nowhere(server: Server) -> None:
    text = server.config.read_text("utf-8")
    server.config.write_text(
        text.replace("HostName 127.0.0.1", "HostName no.such.invalid"), "utf-8"
    )


@pytest.mark.parametrize(
    ("change", "message", "mend"),
    [
        (no_key, "wants a password or another key(.|\n)*Permission denied", "ssh-copy-id there"),
        (unknown, "its host key is not known here(.|\n)*verification failed", "`ssh there` once"),
        (another, "its host key is not the one that is known", "see what `ssh there` says"),
        (elsewhere, "it cannot be reached(.|\n)*Connection refused", "see what `ssh there` says"),
        (nowhere, "it cannot be reached(.|\n)*Could not resolve", "see what `ssh there` says"),
    ],
)
def test_a_machine_that_lets_nobody_in(
    there: Server, change: Callable[[Server], None], message: str, mend: str
) -> None:
    change(there)
    with pytest.raises(MissingComponent, match=f"ssh:there(.|\n)*{message}") as missing:
        Lab(there.host()).serve("flask")
    assert mend in missing.value.hint
    assert there.processes() == []


def test_a_jump_host_is_not_asked_for_either(
    there: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ssh starts another ssh for it, which is told nothing of the options of the first."""
    asked = tmp_path / "asked"
    window = tmp_path / "askpass"
    window.write_text(f"#!/bin/sh\ntouch {asked}\nexec sleep 600\n", "utf-8")
    window.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("SSH_ASKPASS", str(window))
    config = there.config.read_text("utf-8")
    jump = config.replace("Host there", "Host jump").replace(str(there.known_hosts), "/dev/null")
    there.config.write_text(f"{config}ProxyJump jump\n{jump}", "utf-8")
    with pytest.raises(MissingComponent, match="its host key is not known here"):
        Lab(there.host()).serve("flask")
    assert not asked.exists()


def test_a_machine_that_says_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (each for each in client.OPTIONS if not each.startswith("ConnectTimeout"))
    monkeypatch.setattr(client, "OPTIONS", ("ConnectTimeout=1", *options))
    with (
        socket.create_server(("127.0.0.1", server.port)),
        pytest.raises(MissingComponent, match=r"it cannot be reached(.|\n)*timed out"),
    ):
        Lab(server.host()).serve("flask")


def test_a_machine_without_python(server: Server, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    server.environment["PATH"] = str(tools)
    server.start()
    host = f"ssh:there//ssh_config={server.config}"
    with pytest.raises(
        MissingComponent, match=r"the shell over there finds no Python(.|\n)*//python=COMMAND"
    ):
        Lab(host).serve("flask")
    # One of the usual names is enough.
    (tools / "py").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', "utf-8")
    (tools / "py").chmod(0o755)
    with Lab(host).serve("flask") as site:
        assert site.get("/test").status_code == 200


def test_a_python_that_is_too_old(there: Server, tmp_path: Path) -> None:
    old = tmp_path / "old"
    pretend = "import sys,platform;sys.version_info=(3,9,2);platform.python_version=lambda:'3.9.2'"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -u -c "{pretend};$3"\n', "utf-8")
    old.chmod(0o755)
    with pytest.raises(MissingComponent, match=r"Python 3\.9\.2 over there, 3\.11 or later"):
        Lab(there.host(python=str(old))).serve("flask")


def test_a_shell_that_greets(there: Server, tmp_path: Path) -> None:
    with pytest.raises(MissingComponent, match=r"its Python does not start(.|\n)*Welcome"):
        Lab(there.host(python=f"echo Welcome; {sys.executable}")).serve("flask")


# -- how it ends ---------------------------------------------------------------------------------


@FROM
def test_a_connection_that_is_cut_during_a_load(there: Server, load_from: str) -> None:
    site = Lab(there.host(), load_from=load_from).serve("nginx2")
    served = threading.Event()

    def strike() -> None:
        eventually(
            lambda: sum(c.started for c in site.deployment.backend_counts()) >= 20, seconds=60
        )
        for each in there.processes():
            with suppress(psutil.NoSuchProcess):  # with the first one go others
                if each.name() == "sshd" or each.name() == "sshd-session":
                    each.kill()
        served.set()

    striker = threading.Thread(target=strike)
    striker.start()
    with pytest.raises(HostLost, match=r"was lost: (.|\n)*\nwhat is known: "):
        site.load(users=4, duration=600)
    striker.join()
    assert served.is_set()
    assert site.deaths() == [site.deployment.lost]
    site.close()
    eventually(lambda: not there.processes())


# Cuts the connection that it is reached by, at a request of a load.
CUTS = """
import psutil
from pytest_winserve.sample_app import app as answers
served = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/cut":
        served.append(1)
        if len(served) == 20:
            for each in psutil.Process().parents():
                if each.name() in ("sshd", "sshd-session"):
                    each.kill()
                    break
        environ["PATH_INFO"] = "/test"
    return answers(environ, start_response)
"""


@pytest.mark.parametrize("command", ["load", "compare"])
def test_a_load_that_was_over_when_its_host_was_lost(
    there: Server, tmp_path: Path, command: str
) -> None:
    """The answer to its last request may come or not; the load is shown and written."""
    (tmp_path / "cuts.py").write_text(CUTS)
    sides = ["flask", "tornado"] if command == "compare" else ["flask"]
    more = ["--runs=2", "--warmup=0"] if command == "compare" else []
    done = winserve(
        command, *sides, *more, "--host", there.host(f"//chdir={tmp_path}"), "--app=cuts:app",
        "--users=1", "--count=20", "--path=/cut", "--report=out", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert "was lost: " in done.err
    assert "sent 20, answered " in done.out
    (test,) = read_json(tmp_path / "out" / "results.json")["tests"]
    assert test["outcome"] == "error"
    assert any(event.startswith("after the load: ") for event in test["events"])
    (result,) = test["results"]
    assert result["sent"] == 20
    eventually(lambda: not there.processes())


def test_pytest_is_killed(there: Server, tmp_path: Path) -> None:
    tests = tmp_path / "work"
    tests.mkdir()
    (tests / "test_waits.py").write_text(
        "import time\ndef test_waits(winserve):\n    winserve.load(users=2, duration=600)\n",
        "utf-8",
    )
    command = pytest_there(there, tests, "--winserve-topology=nginx2", "--winserve-load-from=host")
    run = subprocess.Popen(
        command, cwd=tests, env=clean_environment() | {"TMPDIR": str(tests)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # On a busy machine it starts for longer than other things are waited for.
        while not workers(there):
            assert run.poll() is None
            time.sleep(0.05)
        mine = psutil.Process(run.pid).children(recursive=True)
        assert mine
    finally:
        run.kill()
        run.wait()
    eventually(lambda: not there.processes())
    eventually(lambda: not [each for each in mine if alive(each)])


def test_a_forward_takes_another_port_when_its_own_is_taken(
    there: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_winserve.system.ports import ClaimedPort, claim_port

    with socket.create_server(("127.0.0.1", 0)) as taken:
        claims = [ClaimedPort(taken.getsockname()[1], None), claim_port()]
        wanted = [claim.number for claim in claims]
        monkeypatch.setattr(client, "claim_port", lambda: claims.pop(0))
        destination = client.Destination.parse("ssh", there.host().partition(":")[2])
        (line,) = destination.lines(client.UP)
        with closing(client.Forward(destination, line, there.port)) as forward:
            assert forward.address == ("127.0.0.1", wanted[1])
            with socket.create_connection(forward.address) as sock:
                assert sock.recv(8) == b"SSH-2.0-"
    eventually(lambda: not there.processes())
