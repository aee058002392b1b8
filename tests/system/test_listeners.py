"""Where a process listens, with real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from pytest_winserve.system.listeners import listeners_of
from tests.kit.platforms import not_on_wine

pytestmark = not_on_wine("does not tell who listens")


def test_listeners_are_those_that_listen() -> None:
    before = listeners_of(os.getpid())
    assert before is not None
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("", 0)) as everywhere,
        socket.socket() as bound,
    ):
        bound.bind(("127.0.0.1", 0))
        with socket.create_connection(one.getsockname()):
            now = listeners_of(os.getpid())
            assert now is not None
            assert now - before == {one.getsockname(), everywhere.getsockname()}
    assert listeners_of(os.getpid()) == before


def test_listeners_are_found_among_closed_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        for _ in range(20):
            with socket.create_connection(one.getsockname()) as client, one.accept()[0] as served:
                served.close()  # who closes first keeps the connection in TIME_WAIT
                assert client.recv(1) == b""
        with socket.create_server(("127.0.0.1", 0)) as other:
            now = listeners_of(os.getpid())
            assert now is not None
            assert {one.getsockname(), other.getsockname()} <= now


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="platform: there is no IPv6 here")
def test_addresses_of_ipv6_are_listeners_too() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        found = listeners_of(os.getpid())
        assert found is not None
        assert server.getsockname()[:2] in found


CHILD = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    input()
"""


def test_each_process_has_its_own() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert listeners_of(child.pid) is not None
        address = ("127.0.0.1", int(child.stdout.readline()))
        assert listeners_of(child.pid) == {address}
        assert address not in (listeners_of(os.getpid()) or set())
        child.communicate("\n")


def test_a_process_that_has_ended_is_not_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert listeners_of(child.pid) is None
