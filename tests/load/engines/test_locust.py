"""The engine locust, with the real Locust against real servers; counts are exact."""

from __future__ import annotations

import contextlib
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
from pytest_winserve.load.engines.locust import LocustEngine, crew, users_of
from pytest_winserve.load.engines.locust.crew import Machine
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.process_tree import alive
from tests.kit.components import needs
from tests.kit.loads import ok, started
from tests.kit.processes import killed_lab

if TYPE_CHECKING:
    from tests.kit.raw_server import Connection, MakeServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(url: str, workers: int = 1, **plan: Any) -> Result:
    return LocustEngine(workers).run(Plan.make(**plan), Target(url, tag="load-1"))


def family() -> list[psutil.Process]:
    """The processes of Locust below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("locustfile" in word for word in process.cmdline()):
                found.append(process)
    return found


def role(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return "worker" if "--worker" in process.cmdline() else "master"
    return ""


@needs("locust")
class TestReal:
    """Runs take about 5 s: Locust starts, and looks once a second for its workers."""

    def test_count_keepalive_and_weights(
        self, raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Locust would take these for its own settings; the plan alone decides.
        monkeypatch.setenv("LOCUST_RUN_TIME", "1")
        monkeypatch.setenv("LOCUST_HOST", "http://127.0.0.1:9")
        server = raw_server(ok)
        requests = ["/a%20b?c=|", Request("/b", "POST", {"A": "b <c>"}, b"body\x00\xff", weight=3)]
        result = run(server.url, 2, users=4, count=101, requests=requests)
        assert (result.sent, result.outcomes, result.generator.lost) == (101, {"200": 101}, 0)
        assert len(server.requests) == 101 == started(result)
        assert server.connections == result.connect.count == 4
        for histogram in (result.total, result.first_byte):
            assert histogram.count == 101
        assert sum(s.total_count for s in result.timeline) == 101
        assert result.sessions.count == 4 == sum(s.session_count for s in result.timeline)
        assert result.unmeasured == set()
        assert result.generator.workers == 2
        assert result.generator.limited_by == "none"
        assert result.generator.lag is not None
        # Not rounded to two digits: 101 times in one or two digits of ms would be few values.
        assert len(result.total.to_dict()["counters"]) > 20
        posts = [r for r in server.requests if r.startswith(b"POST /b HTTP/1.1\r\n")]
        assert 101 > len(posts) > 50  # 3 of 4, by chance
        for received in posts:
            assert received.endswith(b"\r\n\r\nbody\x00\xff")
            assert b"\r\nA: b <c>\r\n" in received
        # Byte by byte what the built-in engine sends.
        host = server.url.removeprefix("http://")
        get = f"GET /a%20b?c=| HTTP/1.1\r\nHost: {host}\r\nX-Winserve: load-1\r\n\r\n".encode()
        assert {r for r in server.requests if r not in posts} == {get}
        assert "gevent" not in sys.modules
        assert "locust" not in sys.modules

    def test_duration_and_a_connection_per_request(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        seen: list[Progress] = []
        plan = Plan.make(users=3, duration=3, keepalive=False, think_time=0.02)
        result = LocustEngine(2).run(plan, Target(server.url, tag="t"), seen.append)
        assert result.outcomes == {"200": len(server.requests)}
        assert server.connections == result.connect.count == result.sent == started(result)
        assert 2.5 <= result.elapsed < 6
        assert [p.sent for p in seen] == sorted(p.sent for p in seen)
        assert 0 < seen[0].sent <= result.sent == seen[-1].sent

    def test_the_open_model_sends_every_arrival_or_drops_it(self, raw_server: MakeServer) -> None:
        def slow(connection: Connection) -> bool:
            connection.server.stopped.wait(0.2)
            return ok(connection)

        result = run(raw_server(ok).url, rate=40, duration=1.5)
        assert (result.sent, result.outcomes, result.dropped) == (60, {"200": 60}, 0)
        assert result.sessions.count == 60
        assert 1.4 <= result.elapsed < 4  # the last one is due after 1.475 s
        # Two at once, 0.2 s each: most of 100 a second are dropped.
        busy = run(raw_server(slow).url, rate=100, duration=1, users=2)
        assert busy.sent + busy.dropped == 100
        assert busy.outcomes == {"200": busy.sent}
        assert 0 < busy.sent <= 12

    def test_stages_with_a_warm_up(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        plan = Plan.make(stages=[(1, 3), (0.5, 0)], think_time=0.05, warmup=0.2)
        result = LocustEngine(2).run(plan, Target(server.url, tag="load-1", warmup_tag="warm-1"))
        counted = [r for r in server.requests if b"\r\nX-Winserve: load-1\r\n" in r]
        warm = [r for r in server.requests if b"\r\nX-Winserve: warm-1\r\n" in r]
        assert result.outcomes == {"200": len(counted)}
        assert len(counted) + len(warm) == len(server.requests)
        assert warm
        assert result.connect.count < 3  # those of the warm-up are kept

    def test_new_connections_at_a_pace(self, raw_server: MakeServer) -> None:
        server = raw_server(ok)
        result = run(server.url, users=10, duration=1.2, keepalive=False, connect_rate=10)
        assert result.outcomes == {"200": server.connections}
        assert server.connections <= 13  # 12 are due; one at the start

    def test_failures_have_our_names(self, raw_server: MakeServer) -> None:
        def hang(connection: Connection) -> bool:
            connection.server.stopped.wait()
            return False

        def half(connection: Connection) -> bool:
            connection.send(OK[:-1])
            return False

        def half_a_head(connection: Connection) -> bool:
            connection.send(OK[:20])
            return False

        def endless(connection: Connection) -> bool:
            connection.send(OK[:-1])
            return hang(connection)

        def nonsense(connection: Connection) -> bool:
            connection.send(b"SSH-2.0-OpenSSH_9.2\r\n")
            return hang(connection)

        def foreign(connection: Connection) -> bool:
            connection.send(OK.replace(b"\r\n\r\n", b"\r\nX-Winserve-Backend: other.0\r\n\r\n"))
            return True

        with socket.socket() as dead:
            dead.bind(("127.0.0.1", 0))  # taken, but not listening
            nobody = f"http://127.0.0.1:{dead.getsockname()[1]}"
            servers = [
                (raw_server(lambda c: c.reset()), "reset"),
                # Not sent again, as geventhttpclient would.
                (raw_server(lambda c: False), "closed_early"),
                (raw_server(half), "closed_early"),
                (raw_server(half_a_head), "closed_early"),
                (raw_server(hang), "timeout"),
                (raw_server(endless), "timeout"),
                (raw_server(nonsense), "bad_response"),
                (raw_server(foreign), "bad_response"),
            ]
            cases = [(nobody, "refused"), *((server.url, name) for server, name in servers)]

            def outcome(case: tuple[str, str]) -> Result:
                url, name = case
                # A busy machine must not time out what is answered.
                plan = Plan.make(users=2, count=6, timeout=0.5 if name == "timeout" else 20)
                return LocustEngine(1).run(plan, Target(url, tag="t", nonce="mine"))

            with ThreadPoolExecutor(3) as pool:
                results = list(pool.map(outcome, cases))
        for result, (_, name) in zip(results, cases, strict=True):
            assert result.outcomes == {name: 6}
            assert result.sent == 6 == started(result)
            assert result.answered == result.total.count == result.first_byte.count == 0
            assert result.generator.lost == 0
            assert result.generator.limited_by == "none"
        for server, name in servers:
            assert len(server.requests) == 6, name

    def test_every_status_is_an_answer_taken_as_it_is(self, raw_server: MakeServer) -> None:
        answers = {
            b"/503": OK.replace(b"200 OK", b"503 Busy"),
            b"/302": OK.replace(b"200 OK\r\n", b"302 Found\r\nLocation: /200\r\n"),
            b"/204": b"HTTP/1.1 204 No Content\r\n\r\n",
            b"/chunks": OK.split(b"\r\n")[0]
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            b"/head": OK[:-2],
            b"/gzip": OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),  # it is not
            b"/interim": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
            b"/cookie": OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"),
        }

        def answer(connection: Connection) -> bool:
            before, status, after = answers[connection.request.split()[1]].rpartition(b"HTTP/1.1 ")
            line, _, rest = after.partition(b"\r\n")
            mark = b"\r\nX-Winserve-Backend: mine.1\r\n"
            connection.send(before + status + line + mark + rest)
            return True

        def to_the_end(connection: Connection) -> bool:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nok")
            return False

        server = raw_server(answer)
        paths = [path.decode() for path in answers]
        requests = [Request(path, "HEAD" if path == "/head" else "GET") for path in paths]
        plan = Plan.make(users=2, count=160, requests=requests)
        result = LocustEngine(1).run(plan, Target(server.url, nonce="mine"))
        assert result.sent == 160 == len(server.requests) == result.answered
        assert set(result.outcomes) == {"200", "204", "302", "503"}
        share = result.by_backend["1"]
        assert set(result.by_backend) == {"1"}
        assert (share.answers, share.errors) == (160, result.outcomes["503"])
        assert not [r for r in server.requests if b"Cookie" in r]
        assert run(raw_server(to_the_end).url, users=1, count=3).outcomes == {"200": 3}

    def test_a_killed_worker_is_lost_and_no_criterion_holds(self, raw_server: MakeServer) -> None:
        killed: list[psutil.Process] = []

        def kill_one(progress: Progress) -> None:
            if not killed and progress.sent > 10:
                killed.append(next(p for p in family() if role(p) == "worker"))
                killed[0].kill()

        plan = Plan.make(users=4, duration=7, think_time=0.02)
        result = LocustEngine(2).run(plan, Target(raw_server(ok).url), kill_one)
        assert killed
        assert (result.generator.workers, result.generator.lost) == (2, 1)
        assert "INCOMPLETE: 1 of 2 workers were lost" in result.summary()
        assert result.answered > 0
        (check,) = result.checks(*map(_criterion, ["error_rate < 100%"]))
        assert not check.passed
        assert not family()

    def test_a_killed_master_is_an_error_with_what_is_known(self, raw_server: MakeServer) -> None:
        def kill_master(progress: Progress) -> None:
            if progress.sent:
                for process in family():
                    if role(process) == "master":
                        process.kill()

        plan = Plan.make(users=2, duration=60, think_time=0.02)
        with pytest.raises(LoadError, match=r"(?s)master .* during the load.*known: \d+ sent"):
            LocustEngine(1).run(plan, Target(raw_server(ok).url), kill_master)
        assert not family()

    def test_an_interrupt_ends_all_of_it(self, raw_server: MakeServer) -> None:
        seen: list[psutil.Process] = []

        def interrupt(_: Progress) -> None:
            seen.extend(family())
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            LocustEngine(2).run(
                Plan.make(users=2, duration=60), Target(raw_server(ok).url), interrupt
            )
        assert sorted(map(role, seen)) != []
        assert not [p for p in seen if alive(p)]

    def test_a_killed_lab_leaves_nothing(self, raw_server: MakeServer, tmp_path: Path) -> None:
        with killed_lab("locust.LocustEngine(2)", raw_server(ok).url, tmp_path) as family:
            roles = sorted(filter(None, map(_locust_role, family)))
            assert roles == ["master", "worker", "worker"]

    def test_ready_tells_the_version(self) -> None:
        assert get_engine("locust").ready()[0].isdigit()


def _locust_role(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        if any("locustfile" in word for word in words):
            return role(process)
    return ""


def _criterion(text: str) -> Any:
    from pytest_winserve.load.criteria import parse_all

    return parse_all([text])[0]


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A Locust of the test's making, in front of a real one; `job` is what the master is given."""
    package = tmp_path / "locust"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import json, sys, time\n"
        "worker = '--worker' in sys.argv\n"
        "def option(name):\n"
        "    return sys.argv[sys.argv.index(name) + 1]\n"
        "def say(*lines):\n"
        "    job = json.loads(open(option('--winserve-job')).read())\n"
        "    with open(job['lines'], 'a') as out:\n"
        "        out.write(''.join(line + '\\n' for line in lines))\n"
        f"{code}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


ANYWHERE = Target("http://127.0.0.1:9")
WAITING = "if worker: sys.stdin.read(); sys.exit()\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit('no such option: --headless')", r"exited with status 1 before .*\n.*no such"),
        (WAITING + "sys.exit(3)", r"master exited with status 3 before the load began"),
        ("if worker: sys.exit(4)\ntime.sleep(60)", r"worker-0 exited with status 4 before"),
        (WAITING + 'say(\'{"type": "begun", \')\ntime.sleep(60)', "wrote what it should not"),
        (WAITING + "say('[1]')\ntime.sleep(60)", r"wrote what it should not: .*is no message"),
        (
            WAITING + 'say(\'{"type": "begun", "workers": 1}\', \'{"type": "report"}\')\n'
            "time.sleep(60)",
            r"wrote what it should not: KeyError\('worker'\)",
        ),
        (
            WAITING + 'say(\'{"type": "refused", "text": "another version"}\')',
            "cannot run this load: another version",
        ),
        (
            WAITING + 'say(\'{"type": "begun", "workers": 1}\', \'{"type": "lost", "worker": 0}\','
            ' \'{"type": "end", "requests": 0, "failures": []}\')',
            "every worker of Locust was lost",
        ),
        (
            WAITING + 'say(\'{"type": "begun", "workers": 1}\','
            ' \'{"type": "end", "requests": 3, "failures": []}\')',
            "Locust counted 3 requests, its users 0",
        ),
        (
            WAITING + 'say(\'{"type": "begun", "workers": 1}\','
            ' \'{"type": "end", "requests": 0, "failures": ["RuntimeError: odd"]}\')',
            "a user of Locust failed: RuntimeError: odd",
        ),
    ],
)
def test_a_locust_that_misbehaves_is_an_error_that_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    fake(tmp_path, monkeypatch, code)
    monkeypatch.setattr(crew, "END_SECONDS", 0.5)  # its workers do not end by themselves
    with pytest.raises(LoadError, match=f"(?s){message}"):
        LocustEngine(1).run(Plan.make(count=1), ANYWHERE)


def test_missing_locust_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingComponent, match="to get it: pipx install locust"):
        LocustEngine().run(Plan.make(count=1), ANYWHERE)
    with pytest.raises(MissingComponent, match="pipx install locust"):
        LocustEngine().ready()


def test_the_users_of_the_open_model_are_all_that_may_be_in_flight() -> None:
    assert users_of(Plan.make(rate=40, duration=1)) == 450
    assert users_of(Plan.make(rate=40, duration=1, users=7)) == 7
    assert users_of(Plan.make(rate=40, count=9)) == 9
    assert users_of(Plan.make(rate=0, stages=[(1, 100)], timeout=1)) == 120
    assert users_of(Plan.make(users=3, duration=1)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers=-1: a whole number >= 0"),
        ({"workers": 0}, "nobody would send"),
        ({"others": -1}, "others=-1"),
        ({"machines": ["a b"], "address": "10.0.0.1:5557"}, "a host name, and workers >= 1"),
        ({"machines": ["-oProxyCommand=x"], "address": "h:1"}, "a host name"),
        ({"machines": [Machine("a", workers=0)], "address": "h:1"}, "workers >= 1"),
        ({"machines": ["gen1"]}, "address is needed"),
        ({"others": 1, "address": "10.0.0.1"}, "'HOST:PORT' is needed, such as"),
        ({"others": 1, "address": "10.0.0.1:99999"}, "'HOST:PORT' is needed"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LocustEngine(**arguments)


def test_a_plan_with_fewer_users_than_workers_asked_for_is_refused() -> None:
    engine = LocustEngine(others=3, address="127.0.0.1:5557")
    with pytest.raises(UsageError, match="3 workers for 2 users"):
        engine.run(Plan.make(users=2, duration=1), ANYWHERE)
