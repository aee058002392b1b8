"""A listen queue that is full, for real: who finds no place in it is told apart from who waits."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.measures import listen_queues
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="platform: elsewhere a full queue refuses, or does not tell"
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
USERS = 6


@contextmanager
def accepting_late(backlog: int, waiting: int) -> Iterator[str]:
    """A server that accepts nobody until `waiting` of its clients still try to connect, and USERS
    are there in all; then it answers one request of each."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))
        listener.settimeout(60)
        port = listener.getsockname()[1]

        def clients(status: str) -> int:
            found = [c for c in psutil.net_connections("tcp4") if c.raddr and c.raddr.port == port]
            return sum(each.status == status for each in found)

        def serve() -> None:
            deadline = time.perf_counter() + 60
            while (clients(psutil.CONN_SYN_SENT), clients(psutil.CONN_ESTABLISHED)) != (
                waiting, USERS - waiting,
            ):  # fmt: skip
                assert time.perf_counter() < deadline, "they never came"
                time.sleep(0.01)
            for _ in range(USERS):
                sock = stack.enter_context(listener.accept()[0])
                sock.settimeout(60)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(65536)
                sock.sendall(ANSWER)

        server = threading.Thread(target=serve)
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.join()


def load(url: str) -> Result:
    return BuiltinEngine(1).run(Plan.make(users=USERS, count=USERS, timeout=60), Target(url))


@linux
def test_connects_that_found_no_place_are_counted() -> None:
    before = listen_queues.listen_drops()
    # One more than the backlog finds a place (sk_acceptq_is_full).
    with accepting_late(backlog=1, waiting=USERS - 2) as url:
        result = load(url)
    assert result.outcomes == {"200": USERS}
    assert result.connect.count == USERS
    assert result.generator.syn_retried == USERS - 2
    assert "listen queue overflow or loss: 4 of 6 connects (66.67%)" in result.summary()
    now = listen_queues.listen_drops()
    assert before is not None
    assert now is not None
    # Of the whole machine: others may have dropped some, too.
    assert now.since(before).overflows >= USERS - 2


@linux
def test_connects_that_found_a_place_are_not() -> None:
    with accepting_late(backlog=USERS, waiting=0) as url:
        result = load(url)
    assert result.outcomes == {"200": USERS}
    assert result.connect.count == USERS
    assert result.generator.syn_retried == 0
    assert result.overflow == ""


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # As measured on Linux 6.18, and as documented for one from before 6.5.
        ({"tcp_syn_linear_timeouts": "4\n", "tcp_syn_retries": "6\n"},
         (1, 2, 3, 4, 5, 7, 11, 19, 35, 67)),
        ({"tcp_syn_linear_timeouts": "0\n", "tcp_syn_retries": "3\n"}, (1, 3, 7)),
        ({"tcp_syn_retries": "4\n"}, (1, 3, 7, 15)),
        ({}, None),
    ],
)  # fmt: skip
def test_when_a_machine_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str],
    expected: tuple[float, ...] | None,
) -> None:  # fmt: skip
    for name, value in settings.items():
        (tmp_path / name).write_text(value)
    monkeypatch.setattr(listen_queues, "_SYSCTL", tmp_path)
    assert listen_queues.syn_retries() == expected


def test_what_took_another_time_was_not_tried_again() -> None:
    connect = Histogram()
    for seconds in (0.0, 0.3, 0.98, 1.2, 1.5, 2.9, 3.4, 6.0, 20.0):
        connect.record(seconds)
    assert listen_queues.retried(connect, (1.0, 3.0, 7.0)) == 0
    # The last three are what was measured: see LATER.
    tried_again = (1.0, 1.0012, 3.0, 7.0, 2.0475, 5.129, 7.138)
    for seconds in tried_again:
        connect.record(seconds)
    assert listen_queues.retried(connect, (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 11.0)) == len(tried_again)


def test_a_machine_that_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netstat"
    monkeypatch.setattr(listen_queues, "_NETSTAT", path)
    assert listen_queues.listen_drops() is None
    path.write_text("IpExt: ListenDrops\nIpExt: 5\n")
    assert listen_queues.listen_drops() is None
    path.write_text("TcpExt: ListenDrops TW ListenOverflows\nTcpExt: 5 6 4\nIpExt: A\nIpExt: 1\n")
    assert listen_queues.listen_drops() == listen_queues.ListenDrops(overflows=4, drops=5)
