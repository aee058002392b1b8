"""How sites in containers end, whoever is killed or removed: no container is left, and what
happened is said."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Lab
from pytest_winserve.docker import first_process
from pytest_winserve.docker.engine import ask, labels
from pytest_winserve.errors import HostLost, MissingComponent
from tests.kit.commands import PYTEST_OPTIONS, Started
from tests.kit.components import needs
from tests.kit.loads import strike_in_load
from tests.kit.lost_hosts import BEFORE, LONG, SECONDS, USERS, WAITS
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Traces

from .conftest import Containers

pytestmark = [
    pytest.mark.usefixtures("traces"),
    needs("container"),
    not_on_windows("the host container is for labs on Linux and macOS"),
]

Start = Callable[..., Started]

HOSTS = ["host", "nginx"]
WITH = {"host": "--winserve-host=container", "nginx": "--winserve-nginx=container"}


@pytest.fixture
def lab(mine: Containers) -> Lab:
    return Lab("container", start_timeout=60)


# -- the lab -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HOSTS)
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_pytest_is_killed(
    engine: str, traces: Traces, start: Start, kind: str, number: str
) -> None:
    traces.killed = True
    Path("test_waits.py").write_text(WAITS)
    run = start("pytest", *PYTEST_OPTIONS, WITH[kind], "--winserve-topology=nginx2")
    run.until(Path("up").exists, "no site", 120)
    containers = Containers(run.process.pid)
    assert len(containers.names()) == 1
    run.process.send_signal(getattr(signal, number))
    run.process.wait()
    containers.gone()
    traces.gone()


def test_everything_of_the_lab_is_killed_at_once(engine: str, traces: Traces, start: Start) -> None:
    traces.killed = True
    run = start("winserve", "up", "nginx2", "--host", "container")
    run.wait_for("  backend-1: pid ", 120)
    containers = Containers(run.process.pid)
    assert len(containers.names()) == 1
    everything = psutil.Process(run.process.pid).children(recursive=True)
    for process in everything:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    run.process.kill()
    run.process.wait()
    containers.gone()


@pytest.mark.parametrize("kind", HOSTS)
def test_ctrl_c(engine: str, start: Start, kind: str) -> None:
    run = start("winserve", "up", "nginx2", WITH[kind].replace("winserve-", ""))
    run.wait_for("  backend-1: pid ", 120)
    containers = Containers(run.process.pid)
    assert len(containers.names()) == 1
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does, to the whole group
    assert run.process.wait(60) == 0
    assert "stopping" in run.text().splitlines()
    assert "Traceback" not in run.text()
    containers.gone()


def test_a_container_that_nobody_comes_to(mine: Containers, engine: str) -> None:
    code = (
        Path(first_process.__file__).read_text("utf-8").replace("SECONDS = 30.0", "SECONDS = 0.5")
    )
    options = [f"--label={name}={value}" for name, value in labels().items()]
    ask("run", "--detach", "--rm", *options, "--entrypoint", "python3", engine, "-c", code)
    mine.gone()


# -- the container -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rm --force", "stop --time 0", "pause"])
def test_the_container_is_taken_away(lab: Lab, mine: Containers, how: str) -> None:
    site = lab.serve("nginx2")
    name = mine.name()
    striker = strike_in_load(site, lambda: ask(*how.split(), name), BEFORE)
    with pytest.raises(HostLost) as lost:
        site.load(users=USERS, duration=LONG)
    striker.join()
    said = str(lost.value)
    state = "is paused" if how == "pause" else "(is gone|is exited|is removing)"
    start = rf"the gateway to the host container was lost: the container {name} {state}"
    assert re.match(start, said), said
    sent = re.search(r"\nwhat is known: \d+ s, (\d+) sent, ", said)
    assert sent is not None, said
    assert int(sent[1]) >= BEFORE
    assert site.deaths() == [site.deployment.lost]
    site.close()
    mine.gone()
    with lab.serve("flask") as again:
        assert again.get("/test").status_code == 200


class Between:
    """A way to the engine that can be cut: a socket whose connections go on to the engine's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._sockets: list[socket.socket] = []
        engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        self._engine = engine.removeprefix("unix://")
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, what: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(self._engine)
                self._sockets += [here, there]
                self._start(self._pump, here, there)
                self._start(self._pump, there, here)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self.path.unlink()
        for each in (self._server, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._server, *self._sockets):
            each.close()


@pytest.fixture
def between(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Between:
    if not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        pytest.skip("platform: the engine is not reached through a Unix socket")
    between = Between(tmp_path / "between.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{between.path}")
    return between


# docker-py (transport/unixconn.py) leaves a socket that could not be connected to the collector.
@pytest.mark.filterwarnings("ignore:.*unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_engine_is_lost(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its containers may live on without it; this one ends, because what held it is cut off."""
    own = os.environ["DOCKER_HOST"]
    site = Lab("container", start_timeout=60).serve("nginx2")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{between._engine}")
    mine = Containers(os.getpid())
    assert len(mine.names()) == 1
    between.cut()
    (death,) = site.deaths()
    start = "the gateway to the host container was lost: the Docker engine does not answer: "
    assert death.startswith(start)
    site.close()
    mine.gone()
    monkeypatch.setenv("DOCKER_HOST", own)
    with pytest.raises(MissingComponent, match="no Docker engine answers"):
        Lab("container").serve("flask")
    gc.collect()


# -- only nginx in a container -------------------------------------------------------------------


def test_nginx_in_a_container(mine: Containers) -> None:
    with Lab(nginx="container").serve("nginx4") as site:
        name = mine.name()
        assert site.deployment.binary is not None
        assert site.deployment.binary.which.startswith("container:pytest-winserve-lab:")
        assert site.probe().blocked_fraction == 0
        result = site.load(users=8, count=400)
        assert result.ledger is not None
        assert (result.outcomes, result.ledger.unaccounted) == ({"200": 400}, 0)
        assert result.ledger.lines()[1].startswith("front's log 400, ")
        assert "notice" in site.logs()["nginx"]
    assert name not in mine.names()


def test_the_container_of_nginx_is_removed(mine: Containers) -> None:
    site = Lab(nginx="container").serve("nginx2")
    striker = strike_in_load(site, lambda: ask("rm", "--force", mine.name()), BEFORE)
    result = site.load(users=USERS, duration=SECONDS)
    striker.join()
    assert result.outcomes.keys() > {"200"}
    assert result.ledger is not None
    assert any("died during the load: nginx (pid " in note for note in result.ledger.notes)
    (death,) = site.deaths()
    assert re.fullmatch(r"nginx \(pid \d+\) exited with status 137", death)
    site.close()


def test_nginx_of_an_image_that_is_not_there_or_has_none(mine: Containers, engine: str) -> None:
    with pytest.raises(MissingComponent, match=r"(?s)image no/such:image.*docker pull no/such:im"):
        Lab(nginx="container:no/such:image").serve("nginx1")


def test_backends_that_a_container_does_not_reach(engine: str) -> None:
    """A network namespace of one's own is to the engine what another machine would be."""
    command = ["unshare", "--net", "--map-root-user"] if os.geteuid() else ["unshare", "--net"]
    code = "from pytest_winserve import Lab; Lab(nginx='container').serve('nginx1')"
    done = subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True)
    assert "the host network of its container is not this process's" in done.stderr
    assert "--winserve-nginx=wheel" in done.stderr
