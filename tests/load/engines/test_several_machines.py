"""Loads from several machines, made of network namespaces, on a nginx on another one.

What the engines count is what that nginx logged, and each machine sent its share.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.load.results.result import Result
from pytest_winserve.shipping.contents import copy_to
from pytest_winserve.system.packages import is_installed
from tests.kit.components import needs
from tests.kit.machines import Machine, machines
from tests.kit.waiting import end_of, eventually

pytestmark = needs("netns", "ssh")

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 1000; }}
http {{
    log_format sides '$remote_addr $http_x_winserve $status';
    access_log {folder}/access.log sides;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 8080; location / {{ return 200 ok; }} }}
}}
"""
HEAD = """
import json, sys
from pytest_winserve.load import Plan, Target
plan, target = Plan.make(**json.loads(sys.argv[1])), Target("http://target:8080", tag=sys.argv[2])
"""
TAIL = """
with open(sys.argv[3], "w") as out:
    json.dump(engine.run(plan, target).to_dict(), out)
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Machine]]:
    folder = tmp_path_factory.mktemp("net")
    with machines(["control", "target", "gen1", "gen2"], folder) as made:
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if nginx is None:
            pytest.skip("there is no nginx: apt-get install nginx")
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        log = folder / "nginx.log"
        target = made["target"]
        target.start(nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), log=log)
        eventually(lambda: _answers(made["control"]), seconds=60, otherwise=end_of(log))
        yield made


def _answers(machine: Machine) -> bool:
    code = "import socket; socket.create_connection(('target', 8080), 5)"
    command = machine.command(sys.executable, "-c", code)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def load(net: dict[str, Machine], tmp_path: Path, tag: str, engine: str, **plan: Any) -> Result:
    """What an engine on the machine `control` made of a plan; `engine` is Python that makes one."""
    out, log = tmp_path / "result.json", tmp_path / "control.log"
    code = HEAD + engine + TAIL
    arguments = [sys.executable, "-c", code, json.dumps(plan), tag, str(out)]
    process = net["control"].start(*arguments, log=log)
    try:
        assert process.wait(120) == 0, log.read_text()
    finally:
        process.kill()
    return Result.from_dict(json.loads(out.read_text()))


def logged(net: dict[str, Machine], tag: str) -> Counter[str]:
    """How many requests with this tag came from each machine, by nginx's log."""
    names = {machine.address: name for name, machine in net.items()}
    lines = (net["target"].folder / "access.log").read_text().splitlines()
    return Counter(names[line.split()[0]] for line in lines if line.split()[1:] == [tag, "200"])


@needs("tsung")
def test_tsung_sends_from_two_machines_by_weight(net: dict[str, Machine], tmp_path: Path) -> None:
    engine = """
from pytest_winserve.load.engines.tsung import TsungEngine
from pytest_winserve.load.engines.tsung.config import Client
engine = TsungEngine([Client("gen1", weight=2), Client("gen2")])
"""
    result = load(net, tmp_path, "tsung", engine, users=30, count=600)
    assert (result.sent, result.outcomes) == (600, {"200": 600})
    assert result.generator.lost == 0
    # 20 requests for each user, of whom tsung gives each machine its share by weight.
    assert logged(net, "tsung") == {"gen1": 400, "gen2": 200}
    assert result.total.count == 600
    assert result.connect.count == 30
    for name in ("control", "gen1", "gen2"):
        assert not [line for line in net[name].processes().values() if "beam" in line]


@pytest.fixture
def locust_python(tmp_path: Path) -> Path:
    """An interpreter as on another machine: with Locust, and with this package."""
    python = sys.executable
    if not is_installed("locust"):
        program = shutil.which("locust")
        assert program is not None
        python = Path(program).read_text().splitlines()[0].removeprefix("#!")
    copy_to(tmp_path / "lib")
    script = tmp_path / "python over there"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path / "lib"}" exec {python} "$@"\n')
    script.chmod(0o755)
    return script


@needs("locust")
class TestLocust:
    ENGINE = """
from pytest_winserve.load.engines.locust import LocustEngine
from pytest_winserve.load.engines.locust.crew import Machine
engine = LocustEngine(machines=[Machine("gen1", workers=2, python={python!r})], {more}
    address="control:5557")
"""

    def test_workers_by_ssh_and_by_hand(
        self, net: dict[str, Machine], tmp_path: Path, locust_python: Path
    ) -> None:
        log = tmp_path / "by-hand.log"
        by_hand = net["gen2"].start(
            str(locust_python), "-m", "pytest_winserve.locust_join", "control:5557", log=log,
        )  # fmt: skip
        engine = self.ENGINE.format(python=str(locust_python), more="others=1,")
        result = load(net, tmp_path, "locust", engine, users=30, count=600, warmup=0.5)
        assert (result.sent, result.outcomes) == (600, {"200": 600})
        assert (result.generator.workers, result.generator.lost) == (3, 0)
        assert logged(net, "locust") == {"gen1": 400, "gen2": 200}
        assert result.total.count == 600
        assert result.generator.host_cpu is None
        assert by_hand.wait(30) == 0, log.read_text()
        for name in ("control", "gen1", "gen2"):
            eventually(partial(is_quiet, net[name]), seconds=60, otherwise=end_of(log))

    def test_an_engine_that_is_killed_leaves_nothing_on_the_others(
        self, net: dict[str, Machine], tmp_path: Path, locust_python: Path
    ) -> None:
        engine = self.ENGINE.format(python=str(locust_python), more="")
        code = HEAD + engine + "engine.run(plan, target, lambda p: print(p, flush=True))"
        log = tmp_path / "control.log"
        plan = json.dumps({"users": 4, "duration": 60, "think_time": 0.1})
        # A killed engine cannot remove its folder, so that it is to be the test's.
        python = ["env", f"TMPDIR={tmp_path}", sys.executable]
        lab = net["control"].start(*python, "-c", code, plan, "killed", log=log)
        eventually(lambda: "Progress(" in log.read_text(), seconds=60, otherwise=end_of(log))
        assert of_locust(net["gen1"])
        lab.kill()
        lab.wait()
        for name in ("control", "gen1"):
            eventually(partial(is_quiet, net[name]), seconds=60, otherwise=end_of(log))


def is_quiet(machine: Machine) -> bool:
    return not of_locust(machine)


def of_locust(machine: Machine) -> list[str]:
    return [
        line for line in machine.processes().values() if "locust" in line and "sshd" not in line
    ]


def test_nothing_of_the_machines_is_left(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), machines(["a", "b"], tmp_path) as made:
        spaces = [machine.space for machine in made.values()]
        listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
        assert all(space in listed for space in spaces)
        pids = [pid for machine in made.values() for pid in machine.processes()]
        assert len(pids) == 2  # a sshd each
        raise ZeroDivisionError
    listed = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not [space for space in spaces if space in listed]
    assert not [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]
