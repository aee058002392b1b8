"""Each limit of the generator's machine, run into for real, in a process with less to give."""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_winserve.errors import CriterionFailed, UsageError
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine, event_loops
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording import generator_limits
from pytest_winserve.load.results.result import Result
from tests.kit.platforms import not_on_windows

if TYPE_CHECKING:
    from tests.kit.raw_server import Connection, MakeServer

RUN = """
import json, sys
from pytest_winserve.errors import UsageError
from pytest_winserve.load import Plan, Target
from pytest_winserve.load.engines.builtin import BuiltinEngine

if __name__ == "__main__":
    url, plan = json.loads(sys.argv[1])
    try:
        print(json.dumps(BuiltinEngine(1).run(Plan.make(**plan), Target(url)).to_dict()))
    except UsageError as error:
        print(json.dumps(str(error)))
"""

FEW_DESCRIPTORS = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
"""

FEW_PORTS = """
import fcntl, socket, struct, threading
from pathlib import Path

IFF_UP, SIOCSIFFLAGS = 1, 0x8914
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
settings = Path("/proc/sys/net/ipv4")
(settings / "ip_local_port_range").write_text("40000 40019")
# What a machine does towards others; on loopback a port in TIME_WAIT is lent again after 1 s.
(settings / "tcp_tw_reuse").write_text("0")
silent = socket.create_server(("127.0.0.1", 30000), backlog=200)
listener = socket.create_server(("127.0.0.1", 30001), backlog=200)

def answer():
    kept = []
    while True:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        kept.append(connection)

threading.Thread(target=answer, daemon=True).start()
"""
SILENT, ANSWERS = "http://127.0.0.1:30000", "http://127.0.0.1:30001"

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="platform: network namespaces are Linux's"
)


def run(prelude: str, url: str, *before: str, **plan: Any) -> Result | str:
    """The result of a load from a process where `prelude` has run, or why it was refused."""
    command = [*before, sys.executable, "-c", prelude + RUN, json.dumps([url, plan])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said if isinstance(said, str) else Result.from_dict(said)


def run_with_20_ports(url: str, **plan: Any) -> Result | str:
    unshare = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("platform: no network namespace may be made here")
    return run(FEW_PORTS, url, *unshare, **plan)


def fails_for(result: Result | str, limit: str) -> Result:
    """The generator was the limit: no criterion holds, unless it is told to."""
    assert isinstance(result, Result)
    assert result.generator.limited_by == limit
    assert result.sent == sum(result.outcomes.values())
    with pytest.raises(CriterionFailed, match=f"the load generator was the limit \\({limit}\\)"):
        result.require("error_rate <= 100%")
    assert result.require("error_rate <= 100%", allow_limited=True) is result
    assert f"LIMITED BY THE GENERATOR ({limit})" in result.summary()
    return result


def never(connection: Connection) -> bool:
    connection.server.stopped.wait()
    return False


@not_on_windows("it has no limit of descriptors")
def test_users_beyond_the_descriptors_are_refused_before_the_start(raw_server: MakeServer) -> None:
    server = raw_server(never)
    said = run(FEW_DESCRIPTORS, server.url, users=50, duration=1)
    assert said == (
        "users=50: a worker of the load needs 114 file descriptors, and may have 100; use fewer "
        "users, or raise the hard limit with: ulimit -Hn 114"
    )
    assert server.connections == 0


@not_on_windows("it has no limit of descriptors")
def test_descriptors_used_up(raw_server: MakeServer) -> None:
    plan = {"rate": 400, "count": 150, "timeout": 1}
    result = fails_for(run(FEW_DESCRIPTORS, raw_server(never).url, **plan), "client-fds")
    assert result.sent == 150
    assert set(result.outcomes) == {"timeout", "client_limit"}
    # Its own files are a few; all others were connections.
    assert 50 <= result.outcomes["client_limit"] < 70


@linux_only
def test_users_beyond_the_ports_are_refused_before_the_start() -> None:
    said = run_with_20_ports(SILENT, users=21, duration=1)
    assert said == (
        "users=21: each needs a port, and this machine has 20; give it more with: "
        'sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"'
    )


@linux_only
def test_ports_used_up_by_requests_in_flight() -> None:
    result = fails_for(run_with_20_ports(SILENT, rate=200, count=30, timeout=1), "client-ports")
    assert result.outcomes == {"timeout": 20, "client_limit": 10}


@linux_only
def test_ports_used_up_by_connections_that_are_over() -> None:
    plan = {"users": 1, "count": 24, "keepalive": False}
    result = fails_for(run_with_20_ports(ANSWERS, **plan), "client-ports")
    assert result.outcomes == {"200": 20, "client_limit": 4}


@linux_only
def test_a_network_that_cannot_be_reached() -> None:
    result = run_with_20_ports("http://192.0.2.1:80", users=2, count=6)
    assert isinstance(result, Result)
    assert result.outcomes == {"connect_timeout": 6}
    assert result.generator.limited_by == "none"


def test_arrivals_that_one_process_cannot_send(raw_server: MakeServer) -> None:
    def ok(connection: Connection) -> bool:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    # A microsecond for two arrivals: no Python can do that.
    plan = Plan.make(rate=2_000_000, duration=0.3, users=10)
    result = BuiltinEngine(1).run(plan, Target(raw_server(ok).url))
    assert result.sent + result.dropped == 600_000
    assert result.sent > plan.users  # answers are looked at while more is due
    # With the machine to itself it was the processor, beside others only the schedule tells.
    limit = result.generator.limited_by
    assert limit in {"generator-cpu", "generator-schedule"}
    fails_for(result, limit)
    assert result.generator.lag is not None
    assert result.generator.lag > generator_limits.LAG_LIMIT
    assert result.service is not None
    assert result.service.sum_us < result.total.sum_us


def snapshot(**changes: Any) -> dict[str, Any]:
    whole = {"client_limits": {}, "cpu": 0.2, "lag": 0.001, "achieved": 1.0, "dropped": 0}
    return {**whole, **changes}


@pytest.mark.parametrize(
    ("changes", "elapsed", "of_closed", "of_open"),
    [
        ({}, 10, "none", "none"),
        ({"cpu": 0.95}, 10, "generator-cpu", "generator-cpu"),
        # Half a second is mostly its start.
        ({"cpu": 0.95}, 0.5, "none", "none"),
        ({"cpu": 0.95, "lag": 0.02}, 0.5, "generator-cpu", "generator-cpu"),
        ({"lag": 0.02}, 10, "none", "generator-schedule"),
        ({"achieved": 0.9}, 10, "none", "generator-schedule"),
        ({"achieved": 0.9, "dropped": 5}, 10, "none", "none"),
        ({"client_limits": {"client-fds": 1, "client-ports": 2}}, 10, *["client-ports"] * 2),
    ],
)
def test_what_tells_that_the_generator_was_the_limit(
    changes: dict[str, Any], elapsed: float, of_closed: str, of_open: str
) -> None:
    reports = [snapshot(), snapshot(**changes)]
    assert generator_limits.limited_by(reports, elapsed, open_model=False) == of_closed
    assert generator_limits.limited_by(reports, elapsed, open_model=True) == of_open


def test_what_select_can_watch_is_known_and_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 512 if sys.platform == "win32" else 1024
    with selectors.SelectSelector() as selector:
        loop = asyncio.SelectorEventLoop(selector)
        monkeypatch.setattr(event_loops, "_asyncio_loop", lambda: loop)
        assert event_loops.AsyncioLoop().sockets == most
        loop.close()
    assert event_loops.new_loop().sockets is None
    shares = Plan.make(users=900, duration=1).split(2)
    generator_limits.check_sockets(shares, [None, None])
    generator_limits.check_sockets(shares, [514, 514])
    with pytest.raises(UsageError, match=r"users=450 in one worker: .* takes 512 sockets"):
        generator_limits.check_sockets(shares, [None, 512])


@linux_only
def test_select_takes_no_descriptor_from_1024_on() -> None:
    with socket.socket() as low, selectors.SelectSelector() as selector:
        import fcntl

        high = fcntl.fcntl(low.fileno(), fcntl.F_DUPFD, 1024)
        selector.register(high, selectors.EVENT_READ)
        with pytest.raises(ValueError, match="out of range in select"):
            selector.select(0)
        os.close(high)


def test_how_busy_the_machine_was() -> None:
    host = generator_limits.HostCpu()
    assert host.share() is None  # too short to tell
    while (busy := host.share()) is None:
        sum(range(1_000_000))
    assert busy is not None
    assert 0 < busy <= 1
