"""Thousands of connections at once against nginx alone, held against nginx's own log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_winserve.fronts.nginx import NginxFront
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.generator_limits import descriptors
from pytest_winserve.system.ports import claim_port

USERS = 3000
# With fewer than a sixteenth of its connections free, nginx closes those that are idle.
FILES = 2 * USERS
CONFIG = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid nginx.pid;
events {{ worker_connections {files}; }}
http {{
    log_format kept "$http_x_winserve $status $connection";
    access_log access.log kept;
    keepalive_requests 1000000; keepalive_timeout 75s;
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "hello\\n"; }} }}
}}
"""

pytestmark = [
    pytest.mark.skipif(
        sys.platform == "win32", reason="platform: nginx on Windows has 1024 connections"
    ),
    pytest.mark.skipif(
        (descriptors() or FILES) < FILES,
        reason=f"platform: no {FILES} descriptors for a process here (ulimit -Hn)",
    ),
]


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Answers everything itself; its port. Its log is complete when it is left."""
    claim = claim_port()
    config = CONFIG.format(port=claim.number, files=FILES)
    (folder / "nginx.conf").write_text(config, "utf-8")
    path = str(NginxFront().find("auto").path)
    process = psutil.Popen([path, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"])
    try:
        while not (folder / "nginx.pid").exists():
            assert process.poll() is None, (folder / "error.log").read_text("utf-8")
        yield claim.number
    finally:
        process.terminate()
        process.wait(30)
        claim.release()


@pytest.mark.parametrize("keepalive", [True, False])
def test_every_request_on_thousands_of_connections_is_in_the_log(
    tmp_path: Path, keepalive: bool
) -> None:
    count = 4 * USERS
    plan = Plan.make(
        users=USERS,
        count=count,
        path="/",
        keepalive=keepalive,
        timeout=60,
        # Kept connections are idle for a while, so that nobody has sent all before all are there:
        # that would take the first ones more than 3 s, and the last ones come in after 0.3.
        think_time=1.0 if keepalive else 0.0,
    )
    with nginx(tmp_path) as port:
        target = Target(f"http://127.0.0.1:{port}", tag="all")
        result = BuiltinEngine(1).run(plan, target)
    lines = (tmp_path / "access.log").read_text("ascii").splitlines()
    tags, statuses, connections = zip(*(line.split() for line in lines), strict=True)
    assert (set(tags), set(statuses)) == ({"all"}, {"200"})
    assert (result.sent, result.outcomes) == (count, {"200": count})
    assert len(lines) == result.total.count == result.first_byte.count == count
    assert len(set(connections)) == result.connect.count == (USERS if keepalive else count)
