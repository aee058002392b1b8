"""The engine tsung, with the real tsung against real servers; counts are exact."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from pytest_winserve.errors import LoadError, MissingComponent, UsageError
from pytest_winserve.load.engine import Progress, Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.engines.tsung import TsungEngine
from pytest_winserve.load.engines.tsung.config import Client
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.process_tree import alive
from tests.kit.components import needs
from tests.kit.loads import OK, ok, started
from tests.kit.platforms import not_on_windows
from tests.kit.processes import killed_lab
from tests.kit.tsung import epmd

if TYPE_CHECKING:
    from tests.kit.raw_server import Connection, MakeServer

posix = not_on_windows("there is no tsung for Windows")


def run(url: str, **plan: Any) -> Result:
    return TsungEngine().run(Plan.make(**plan), Target(url, tag="load-1"))


@needs("tsung")
class TestReal:
    """Runs take about 8 s, since tsung looks every 5 s whether its users have ended."""

    def test_count_keepalive_and_weights(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        requests = ["/a", Request("/b", "POST", {"A": "b <c>"}, b"body\x00\xff", weight=3)]
        result = run(server.url, users=4, count=101, requests=requests)
        assert (result.sent, result.outcomes, result.generator.lost) == (101, {"200": 101}, 0)
        assert len(server.requests) == 101 == started(result)
        assert server.connections == result.connect.count == 4
        assert result.total.count == 101 == sum(s.total_count for s in result.timeline)
        assert result.sessions.count == 4 == sum(s.session_count for s in result.timeline)
        assert result.unmeasured == {"first_byte"}
        assert result.metric("first_byte.p50") == (None, 0)
        assert result.generator.limited_by == "none"
        assert result.generator.lag is None
        p99, n = result.metric("p99")
        assert n == 101
        assert p99 is not None
        assert 0 < p99 < 10
        posts = [r for r in server.requests if r.startswith(b"POST /b HTTP/1.1\r\n")]
        assert 101 > len(posts) > 50  # 3 of 4, by chance
        for received in posts:
            assert received.endswith(b"\r\n\r\nbody\x00\xff")
            assert b"\r\nA: b <c>\r\n" in received
        host = server.url.removeprefix("http://").encode()
        for received in server.requests:
            assert b"\r\nX-Winserve: load-1\r\n" in received
            assert b"\r\nHost: %s\r\n" % host in received

    def test_duration_and_a_connection_per_request(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        seen: list[Progress] = []
        plan = Plan.make(users=3, duration=3, keepalive=False, think_time=0.02)
        result = TsungEngine().run(plan, Target(server.url, tag="t"), seen.append)
        assert result.outcomes == {"200": len(server.requests)}
        assert server.connections == result.connect.count == result.sent == started(result)
        assert 3 <= result.elapsed < 6
        assert [p.sent for p in seen] == sorted(p.sent for p in seen)
        assert 0 < seen[0].sent <= result.sent

    def test_the_open_model_sends_every_arrival(self, raw_server: MakeServer) -> None:
        result = run(raw_server(ok).url, rate=40, duration=1.5)
        assert (result.sent, result.outcomes, result.dropped) == (60, {"200": 60}, 0)
        assert result.connect.count == 60
        assert 1.4 <= result.elapsed < 4  # the last one is due after 1.475 s

    def test_stages_with_a_warm_up(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        plan = Plan.make(stages=[(1, 3), (0.5, 0)], think_time=0.05, warmup=0.2)
        result = TsungEngine().run(plan, Target(server.url, tag="load-1", warmup_tag="warm-1"))
        counted = [r for r in server.requests if b"\r\nX-Winserve: load-1\r\n" in r]
        warm = [r for r in server.requests if b"\r\nX-Winserve: warm-1\r\n" in r]
        assert result.outcomes == {"200": len(counted)}
        assert len(counted) + len(warm) == len(server.requests)
        assert warm
        assert result.connect.count == 3

    def test_failures_have_our_names_and_end_users(self, raw_server: MakeServer) -> None:
        def hang(connection: Connection) -> bool:
            connection.server.stopped.wait()
            return False

        def half(connection: Connection) -> bool:
            connection.send(OK[:-1])
            return hang(connection)

        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))  # taken, but not listening
            nobody = f"http://127.0.0.1:{dead.getsockname()[1]}"
            cases: list[tuple[str, dict[str, int], str]] = [
                (nobody, {"refused": 8}, "client-users"),  # 2 users, each with 3 more tries
                # To tsung a reset is a close like any other.
                (raw_server(lambda c: c.reset()).url, {"closed_early": 6}, "none"),
                (raw_server(lambda c: False).url, {"closed_early": 6}, "none"),
                (raw_server(hang).url, {"timeout": 2}, "client-users"),
                (raw_server(half).url, {"timeout": 2}, "client-users"),
            ]

            def outcome(case: tuple[str, dict[str, int], str]) -> Result:
                url, outcomes, _ = case
                # A busy machine must not time out what is answered.
                return run(url, users=2, count=6, timeout=0.5 if "timeout" in outcomes else 20)

            with ThreadPoolExecutor(3) as pool:
                results = list(pool.map(outcome, cases))
        for result, (_, outcomes, limited_by) in zip(results, cases, strict=True):
            assert result.outcomes == outcomes
            assert result.sent == sum(outcomes.values()) == started(result)
            assert result.answered == 0
            assert result.generator.lost == 0
            assert result.generator.limited_by == limited_by
            assert result.rate == 0
            assert result.total.count == 0
            assert ("total" in result.unmeasured) == ("closed_early" in outcomes)

    def test_in_the_open_model_a_refused_connect_is_one_request(self) -> None:
        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))
            result = run(f"http://127.0.0.1:{dead.getsockname()[1]}", rate=20, count=7)
        assert result.outcomes == {"refused": 7}
        assert result.generator.limited_by == "none"

    def test_an_interrupt_ends_all_of_it_and_nobody_elses_epmd(
        self, raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        family: dict[psutil.Process, str] = {}

        def interrupt(_: Progress) -> None:
            family.update({p: name_of(p) for p in psutil.Process().children(recursive=True)})
            raise KeyboardInterrupt

        with epmd() as port:
            monkeypatch.setenv("ERL_EPMD_PORT", str(port))
            before = {p.pid for p in psutil.Process().children(recursive=True)}
            with pytest.raises(KeyboardInterrupt):
                TsungEngine().run(
                    Plan.make(users=2, duration=60), Target(raw_server(ok).url), interrupt
                )
            ours = {p: name for p, name in family.items() if p.pid not in before}
            assert {"beam.smp", "epmd"} <= set(ours.values())
            assert not [p for p in ours if alive(p)]
            socket.create_connection(("127.0.0.1", port), timeout=5).close()

    def test_a_killed_lab_leaves_nothing(self, raw_server: MakeServer, tmp_path: Path) -> None:
        with killed_lab("tsung.TsungEngine()", raw_server(ok).url, tmp_path) as family:
            assert {"beam.smp", "epmd"} <= {name_of(process) for process in family}

    def test_a_vm_that_dies_is_an_error_with_what_is_known(self, raw_server: MakeServer) -> None:
        def kill_vm(_: Progress) -> None:
            for process in psutil.Process().children(recursive=True):
                if name_of(process) == "beam.smp" and os.getpid() in pids_above(process):
                    process.send_signal(signal.SIGKILL)

        with pytest.raises(LoadError, match=r"tsung exited with status 137"):
            TsungEngine().run(Plan.make(users=2, duration=60), Target(raw_server(ok).url), kill_vm)

    def test_a_client_has_a_vm_of_its_own(
        self, raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # This machine by its name: tsung needs no ssh for that, all else is as with others.
        server = raw_server(ok)
        with epmd() as port:
            monkeypatch.setenv("ERL_EPMD_PORT", str(port))
            engine = TsungEngine([Client(socket.gethostname().partition(".")[0])])
            result = engine.run(Plan.make(users=3, count=50), Target(server.url, tag="load-1"))
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert result.outcomes == {"200": 50}
        assert (len(server.requests), server.connections) == (50, 3)
        assert result.total.count == 50

    def test_ready_tells_the_version(self) -> None:
        assert get_engine("tsung").ready()[0].isdigit()


def name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def pids_above(process: psutil.Process) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [parent.pid for parent in process.parents()]
    return []


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A tsung of the test's making on the PATH, with an epmd and an erl."""
    for name, text in (("tsung", script), ("erl", "exit 0"), ("epmd", "read _; exit 0")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")


ANYWHERE = Target("http://127.0.0.1:9")


@posix
def test_tsung_that_does_not_start_is_an_error_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "echo Config Error, aborting; exit 1")
    with pytest.raises(LoadError, match=r"tsung exited with status 1\n +Config Error, aborting"):
        TsungEngine().run(Plan.make(count=1), ANYWHERE)


@posix
def test_tsung_that_says_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(LoadError, match=r"without a log\n +\(it wrote nothing\)"):
        TsungEngine().run(Plan.make(count=1), ANYWHERE)


LOG = r"""
while getopts f:l:ni:t:T: o; do [ $o = l ] && l=$OPTARG; done
mkdir $l/run
cat > $l/run/tsung.log <<X
# stats: dump at 1
stats: winserve_sent 5 5
stats: winserve_200 3 3
stats: 200 3 3
stats: error_abort 1 1
stats: request 3 1.5 0 2.0 1.0 0 0
%s
X
"""


@posix
def test_what_a_run_that_was_cut_left_under_way_is_not_taken_for_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, LOG % "EndMonitor:{1,2,3}")
    result = TsungEngine().run(Plan.make(count=5), ANYWHERE)
    assert (result.sent, result.outcomes, result.unfinished) == (5, {"200": 3}, 2)
    assert result.generator.lost == 1
    assert "INCOMPLETE" in result.summary()
    assert not result.checks()
    assert {"total", "first_byte"} <= result.unmeasured  # no single time was kept
    assert result.metric("p50") == (None, 0)


@posix
def test_a_log_without_an_end_is_an_error_with_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path, monkeypatch, LOG % "stats: 2")
    with pytest.raises(LoadError, match=r"tsung\.log, line 7: .*'stats: 2'"):
        TsungEngine().run(Plan.make(count=5), ANYWHERE)
    fake(tmp_path, monkeypatch, LOG % "stats: 404 1 1")
    with pytest.raises(LoadError, match=r"died during the load; 5 sent .*outcomes: 200 3"):
        TsungEngine().run(Plan.make(count=5), ANYWHERE)


@posix
def test_another_way_to_keep_answers_is_an_error_and_not_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = LOG.replace("winserve_200 3 3", "winserve_unknown 3 3")
    fake(tmp_path, monkeypatch, script % "EndMonitor:{1,2,3}")
    with pytest.raises(LoadError, match="3 of them with an unknown end"):
        TsungEngine().run(Plan.make(count=5), ANYWHERE)


@posix
def test_missing_tsung_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match="sudo apt-get install tsung"):
        TsungEngine().run(Plan.make(count=1), ANYWHERE)
    with pytest.raises(MissingComponent, match="sudo apt-get install tsung"):
        TsungEngine().ready()


def test_on_windows_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UsageError, match="no tsung for Windows"):
        TsungEngine().ready()


@pytest.mark.parametrize("client", ["", "a b", "a;b"])
def test_a_client_needs_a_host_name(client: str) -> None:
    with pytest.raises(UsageError, match="a host name"):
        TsungEngine([client])
