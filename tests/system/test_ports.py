"""Claimed ports and the machine's measuring lock, with real processes competing for both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.system.locks import measuring, shared_folder
from pytest_winserve.system.ports import (
    ADDRESS,
    FIRST,
    LAST,
    Listen,
    bound_socket,
    claim_port,
    holder_of,
)
from tests.kit.platforms import WINE
from tests.kit.ports import free_row

CLAIMER = """
import sys
from pytest_winserve.system.ports import ADDRESS, Listen, claim_port
listen = Listen(ADDRESS, *map(int, sys.argv[1:]))
claimed = [claim_port(listen=listen) for _ in range(20)]
print(*[port.number for port in claimed], flush=True)
sys.stdin.read()
"""

HOLDER = """
import sys
from pytest_winserve.system.locks import measuring
with measuring() as waited:
    print("held", flush=True)
    sys.stdin.read()
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_bound_socket_cannot_be_bound_again() -> None:
    with bound_socket() as first:
        port = first.getsockname()[1]
        first.listen()
        with pytest.raises(UsageError) as caught:
            bound_socket(port)
        assert f"port {port} cannot be used" in str(caught.value)
        if not WINE:  # it does not tell which process listens
            assert f"held by pid {os.getpid()}" in str(caught.value)
    bound_socket(port).close()


def test_a_port_is_free_again_while_old_connections_linger() -> None:
    with bound_socket() as sock:
        port = sock.getsockname()[1]
    with bound_socket(port) as server:
        server.listen()
        with socket.create_connection((ADDRESS, port)), server.accept()[0] as accepted:
            accepted.close()  # this side closed first, so it is the one that lingers
    bound_socket(port).close()


def test_nobody_holds_a_free_port() -> None:
    with bound_socket() as sock:
        port = sock.getsockname()[1]
    assert holder_of(port) == ""


@pytest.mark.usefixtures("own_locks")
def test_the_claims_of_processes_never_collide() -> None:
    processes = [start(CLAIMER) for _ in range(3)]
    try:
        claims = [[int(port) for port in said(process).split()] for process in processes]
    finally:
        for process in processes:
            process.communicate("")
    ports = [port for claim in claims for port in claim]
    assert len(ports) == len(set(ports)) == 60
    assert all(FIRST <= port <= LAST for port in ports)


@pytest.mark.usefixtures("own_locks")
def test_a_claim_ends_with_its_release_or_with_its_process() -> None:
    # With locks of its own, and ports of its own: other tests have servers on the usual ones.
    row = free_row(30)
    process = start(CLAIMER, str(row[0]), str(row[-1]))
    theirs = [int(port) for port in said(process).split()]
    assert {*theirs} < {*row}
    process.kill()
    process.communicate()
    mine = [claim_port(listen=Listen(ADDRESS, row[0], row[-1])) for _ in row]
    assert {port.number for port in mine} == {*row}
    for port in mine:
        port.release()
        port.release()
    # Nothing of all that keeps a port from being used.
    for number in row:
        bound_socket(number).close()


def test_a_wanted_port_is_claimed_or_refused() -> None:
    with bound_socket() as sock:
        port = sock.getsockname()[1]
        sock.listen()
        with pytest.raises(UsageError, match=f"port {port} cannot be used"):
            claim_port(port)
    claim = claim_port(port)
    assert claim.number == port
    claim.release()


@pytest.mark.usefixtures("own_locks")
def test_a_range_of_ports_is_used_up_and_never_left() -> None:
    row = free_row(3)
    said = f"{row[0]} to {row[-1]}"
    listen = Listen("0.0.0.0", row[0], row[-1])  # noqa: S104 - as in a container
    claims = [claim_port(listen=listen) for _ in row]
    assert sorted(claim.number for claim in claims) == [*row]
    with pytest.raises(StartError, match=f"no free port from {said}"):
        claim_port(listen=listen)
    for claim in claims:
        claim.release()
    with pytest.raises(UsageError, match=f"port 80 is not among .* {said}"):
        claim_port(80, listen)
    claim_port(row[1], listen).release()


def test_the_shared_folder_is_the_users_own(own_locks: Path) -> None:
    folder = shared_folder()
    assert folder.parent == own_locks
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700
    assert shared_folder() == folder


@pytest.mark.usefixtures("own_locks")
def test_the_measuring_lock_excludes_another_process_and_reports_the_wait() -> None:
    process = start(HOLDER)
    assert said(process) == "held"
    waits: list[float] = []
    released = threading.Event()

    def on_wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            # The holder lets go only now: whoever gets in before has not been excluded.
            released.set()
            process.communicate("")

    with measuring(on_wait) as waited:
        assert released.is_set()
        assert waited >= waits[-1]
    assert len(waits) >= 2
    assert waits == sorted(waits)
    assert waits[0] > 0


@pytest.mark.usefixtures("own_locks")
def test_the_measuring_lock_is_free_after_an_error_and_after_a_kill() -> None:
    def fail() -> None:
        with measuring():
            raise LookupError("while measuring")

    with pytest.raises(LookupError):
        fail()
    process = start(HOLDER)
    assert said(process) == "held"
    process.kill()
    process.communicate()
    told: list[float] = []
    with measuring(told.append):
        pass


@pytest.mark.usefixtures("own_locks")
def test_the_measuring_lock_excludes_threads_of_one_process() -> None:
    inside: list[str] = []
    failures: list[list[str]] = []

    def measure(name: str) -> None:
        with measuring():
            inside.append(name)
            if inside != [name]:
                failures.append(list(inside))
            inside.remove(name)

    threads = [threading.Thread(target=measure, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
