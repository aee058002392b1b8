"""The built-in engine against real servers on real sockets; counts are exact."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import pytest_winserve
from pytest_winserve.errors import CriterionFailed, LoadError, UsageError
from pytest_winserve.load.engine import Progress, Target, resolve
from pytest_winserve.load.engines import builtin, engine_names, get_engine
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.results.result import Result

if TYPE_CHECKING:
    from tests.kit.raw_server import Connection, MakeServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def ok(connection: Connection) -> bool:
    connection.send(OK)
    return b"\r\nConnection: close\r\n" not in connection.request


def fixed(answer: bytes, *, keep: bool) -> Any:
    def behave(connection: Connection) -> bool:
        connection.send(answer)
        return keep

    return behave


def run(url: str, *, workers: int = 1, nonce: str | None = None, **plan: Any) -> Result:
    return BuiltinEngine(workers).run(Plan.make(**plan), Target(url, nonce=nonce))


def test_a_worker_starts_without_what_only_journeys_and_tls_need() -> None:
    code = f"import sys, {builtin.__name__}.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = {"asyncio", "http.cookiejar", "pytest_winserve.load.journeys.visitor", "ssl"}
    assert others.isdisjoint(done.stdout.split())


def test_count_is_exact_and_keepalive_uses_one_connection_per_user(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, users=4, count=101, workers=2)
    assert (result.sent, result.outcomes) == (101, {"200": 101})
    assert len(server.requests) == 101
    assert server.connections == result.connect.count <= 4
    assert result.total.count == result.first_byte.count == 101
    assert result.sessions.count == server.connections
    assert sum(second.started for second in result.timeline) == 101
    assert sum(second.total_count for second in result.timeline) == 101
    assert (result.generator.workers, result.generator.lost) == (2, 0)
    assert {key: share.answers for key, share in result.by_backend.items()} == {"-": 101}


def test_without_keepalive_every_request_has_its_connection(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, users=3, count=40, keepalive=False)
    assert result.outcomes == {"200": 40}
    assert server.connections == result.connect.count == 40
    assert all(b"\r\nConnection: close\r\n" in request for request in server.requests)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "304"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "200"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "503"),
    ],
)
def test_answers_that_end_by_themselves_keep_the_connection(
    raw_server: MakeServer, answer: bytes, status: str
) -> None:
    server = raw_server(fixed(answer, keep=True))
    result = run(server.url, count=10)
    assert result.outcomes == {status: 10}
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ],
)
def test_answers_that_end_the_connection(raw_server: MakeServer, answer: bytes) -> None:
    server = raw_server(fixed(answer, keep=False))
    result = run(server.url, users=2, count=10)
    assert result.outcomes == {"200": 10}
    assert server.connections == 10


def test_an_answer_in_many_pieces_is_one_answer(raw_server: MakeServer) -> None:
    def drip(connection: Connection) -> bool:
        for byte in OK:
            connection.send(bytes([byte]))
        return True

    result = run(raw_server(drip).url, count=5)
    assert result.outcomes == {"200": 5}


def test_a_head_that_breaks_off_is_never_taken_for_an_answer_seen_before(
    raw_server: MakeServer,
) -> None:
    # With a body of 33 bytes, head and body are as long as the head is with one byte more.
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 33"
    seen: list[bytes] = []

    def behave(connection: Connection) -> bool:
        seen.append(connection.request)
        whole = len(seen) == 1
        connection.send(head + b"\r\n\r\n" + b"x" * 33 if whole else head + b"\r")
        return whole

    assert run(raw_server(behave).url, count=2).outcomes == {"200": 1, "closed_early": 1}


def test_head_has_no_body_and_keeps_the_connection(raw_server: MakeServer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    server = raw_server(fixed(head, keep=True))
    result = run(server.url, count=10, requests=[Request("/", "HEAD")])
    assert result.outcomes == {"200": 10}
    assert server.connections == 1


def test_data_after_an_answer_is_never_taken_for_the_next_one(raw_server: MakeServer) -> None:
    server = raw_server(fixed(OK + b"HTTP/1.1 500 Extra\r\nContent-Length: 0\r\n\r\n", keep=True))
    result = run(server.url, count=5)
    assert result.outcomes == {"200": 5}
    assert result.connect.count == 5


def test_nobody_listens_is_refused() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, but not listening
        result = run(f"http://127.0.0.1:{bound.getsockname()[1]}", users=2, count=6)
    assert result.outcomes == {"refused": 6}
    assert (result.answered, result.error_rate, result.total.count) == (0, 1.0, 0)
    with pytest.raises(CriterionFailed, match="p95"):
        result.require("p95 < 10s")


def test_reset(raw_server: MakeServer) -> None:
    result = run(raw_server(lambda connection: connection.reset()).url, users=2, count=6)
    assert result.outcomes == {"reset": 6}


@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]])
def test_an_end_before_the_answer_is_complete_is_closed_early(
    raw_server: MakeServer, part: bytes
) -> None:
    result = run(raw_server(fixed(part, keep=False)).url, users=2, count=6)
    assert result.outcomes == {"closed_early": 6}


def test_garbage_is_a_bad_response(raw_server: MakeServer) -> None:
    result = run(raw_server(fixed(b"SSH-2.0-x\r\n", keep=True)).url, users=2, count=6)
    assert result.outcomes == {"bad_response": 6}


@pytest.mark.parametrize("part", [b"", OK[:-1]])
def test_no_complete_answer_in_time_is_a_timeout(raw_server: MakeServer, part: bytes) -> None:
    def hang(connection: Connection) -> bool:
        connection.send(part)
        connection.server.stopped.wait()
        return False

    result = run(raw_server(hang).url, users=3, count=3, timeout=0.2)
    assert result.outcomes == {"timeout": 3}
    waited = result.by_outcome["timeout"].total
    assert waited.count == 3
    assert waited.min is not None
    assert waited.min >= 0.2
    assert (result.total.count, result.service) == (0, None)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="platform: outside of Linux a full listen queue refuses, or has no such end",
)
def test_a_full_listen_queue_is_a_connect_timeout() -> None:
    with socket.socket() as listener, socket.socket() as a, socket.socket() as b:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (a, b):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        result = run(url, users=2, count=2, timeout=0.3)
    assert result.outcomes == {"connect_timeout": 2}


def test_answers_are_counted_per_backend_and_foreign_ones_are_bad(raw_server: MakeServer) -> None:
    def behave(connection: Connection) -> bool:
        path = connection.request.split()[1]
        marks = {b"/a": b"mine.0", b"/b": b"mine.1", b"/c": b"other.0", b"/d": b""}
        mark = b"X-Winserve-Backend: %s\r\n" % marks[path] if marks[path] else b""
        status = b"500 Broken" if path == b"/b" else b"200 OK"
        connection.send(b"HTTP/1.1 " + status + b"\r\n" + mark + b"Content-Length: 0\r\n\r\n")
        return True

    server = raw_server(behave)
    result = run(server.url, users=2, count=80, nonce="mine", requests=["/a", "/b", "/c", "/d"])
    seen = {path: sum(path in r for r in server.requests) for path in (b"/a", b"/b", b"/c", b"/d")}
    assert min(seen.values()) > 0
    errors = {key: share.errors for key, share in result.by_backend.items()}
    assert errors == {"0": 0, "1": seen[b"/b"], "-": 0}
    answers = {key: share.answers for key, share in result.by_backend.items()}
    assert answers == {"0": seen[b"/a"], "1": seen[b"/b"], "-": seen[b"/d"]}
    bad = {"500": seen[b"/b"], "bad_response": seen[b"/c"]}
    assert result.outcomes == {"200": 80 - sum(bad.values()), **bad}
    paths = {b"/a": "200", b"/b": "500", b"/c": "bad_response", b"/d": "200"}
    assert {label: share.outcomes for label, share in result.by_request.items()} == {
        f"GET {path.decode()}": {outcome: seen[path]} for path, outcome in paths.items()
    }
    assert result.by_request["GET /c"].total.count == 0
    assert {key: times.total.count for key, times in result.by_outcome.items()} == result.outcomes


def test_the_request_as_it_arrives_and_the_tags(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    request = Request("/p?q=1", "POST", {"A": "b c"}, b"body")
    plan = Plan.make(count=5, requests=[request], warmup=0.05)
    target = Target(server.url, tag="load-1", warmup_tag="warm-1")
    result = BuiltinEngine(1).run(plan, target)
    assert (result.sent, result.connect.count) == (5, 0)  # the warm-up made the connection
    counted = [r for r in server.requests if b"\r\nX-Winserve: load-1\r\n" in r]
    warm = [r for r in server.requests if b"\r\nX-Winserve: warm-1\r\n" in r]
    assert len(counted) == 5
    assert len(counted) + len(warm) == len(server.requests)
    assert warm
    for received in counted:
        assert received.startswith(b"POST /p?q=1 HTTP/1.1\r\n")
        assert received.endswith(b"\r\n\r\nbody")
        for line in (b"A: b c", b"Content-Length: 4", b"Host: 127.0.0.1:%d" % server.port):
            assert b"\r\n" + line + b"\r\n" in received


def test_at_the_end_of_the_duration_slow_answers_are_waited_for(raw_server: MakeServer) -> None:
    def slow(connection: Connection) -> bool:
        connection.server.stopped.wait(0.4)
        return ok(connection)

    server = raw_server(slow)
    result = run(server.url, users=5, duration=0.2)
    assert result.outcomes == {"200": 5}
    assert result.elapsed > 0.4
    assert result.sessions.count == 0


def test_open_model_sends_every_arrival(raw_server: MakeServer) -> None:
    result = run(raw_server(ok).url, rate=100, duration=0.5, workers=2)
    assert (result.sent, result.dropped) == (50, 0)
    assert result.outcomes == {"200": 50}
    assert result.sessions.count == 50
    assert result.offered == 100
    assert result.generator.late is not None  # how many depends on the machine
    assert "offered 100 / sec, answered" in result.summary()
    assert f", {result.generator.late} late by more than 10 ms" in result.summary()
    assert result.service is not None
    assert result.service.count == 50
    assert result.service.sum_us <= result.total.sum_us


@pytest.mark.skipif(
    sys.platform == "win32", reason="platform: Wine 8 does not tell the children of a process"
)
def test_arrivals_that_are_due_while_the_worker_stands_still_are_late(
    raw_server: MakeServer,
) -> None:
    own = psutil.Process()
    before = {child.pid for child in own.children()}
    stopped = threading.Event()

    def stop_for_a_while(progress: Progress) -> None:
        (worker,) = (child for child in own.children() if child.pid not in before)
        if not stopped.is_set():
            worker.suspend()
            stopped.wait(0.5)
            stopped.set()
            worker.resume()

    plan = Plan.make(rate=100, duration=2.5)
    result = BuiltinEngine(1).run(plan, Target(raw_server(ok).url), stop_for_a_while)
    assert (result.sent, result.dropped) == (250, 0)
    # Half a second has 50 arrivals; the last of them are less than 10 ms late.
    assert (result.generator.late or 0) >= 45
    assert Result.from_dict(result.to_dict()) == result


def test_open_model_ends_after_its_count(raw_server: MakeServer) -> None:
    result = run(raw_server(ok).url, rate=500, count=31, workers=2)
    assert (result.sent, result.outcomes) == (31, {"200": 31})


def test_open_model_drops_what_exceeds_its_limit(raw_server: MakeServer) -> None:
    release = threading.Event()

    def held(connection: Connection) -> bool:
        release.wait(10)
        return ok(connection)

    server = raw_server(held)

    def on_progress(progress: Progress) -> None:
        if progress.dropped:
            release.set()

    plan = Plan.make(rate=20, duration=2.5, users=3, keepalive=True)
    result = BuiltinEngine(1).run(plan, Target(server.url), on_progress)
    assert result.sent + result.dropped == 50
    assert result.dropped > 0
    assert result.outcomes == {"200": result.sent} == {"200": len(server.requests)}


def test_progress_moves_while_the_load_runs(raw_server: MakeServer) -> None:
    seen: list[Progress] = []
    plan = Plan.make(users=2, duration=2.5)
    result = BuiltinEngine(1).run(plan, Target(raw_server(ok).url), seen.append)
    assert 0 < seen[0].sent < result.sent
    assert [progress.sent for progress in seen] == sorted(progress.sent for progress in seen)
    assert seen[-1].sent == result.sent


def test_stages_ramp_users_up_and_down(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, stages=[(0.3, 4), (0.3, 0)], think_time=0.02)
    assert result.outcomes == {"200": result.sent}
    assert result.sent == len(server.requests) > 0
    assert server.connections <= 8  # four on the way up; one may come and go around the top


def test_users_of_a_ramp_come_one_by_one(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, stages=[(1, 10), (1, 10)], think_time=0.1)
    assert result.outcomes == {"200": len(server.requests)}
    assert server.connections == 10
    # The i-th user, from 0, comes when the level rounds to i + 1, and then sends at most every
    # 0.1 s: 20 - i times. All ten from the start would have sent up to 200.
    assert result.sent <= sum(20 - i for i in range(10))


def test_stages_of_arrivals_are_their_integral(raw_server: MakeServer) -> None:
    result = run(raw_server(ok).url, rate=20, stages=[(0.5, 100), (0.5, 0)], workers=2)
    assert (result.sent, result.dropped) == (30 + 25, 0)
    assert result.outcomes == {"200": 55}
    assert result.offered == 55


def test_a_user_thinks_after_each_answer(raw_server: MakeServer) -> None:
    result = run(raw_server(ok).url, users=2, duration=1, think_time=0.2)
    # Each at 0, 0.2, 0.4, 0.6 and 0.8 s, or later.
    assert result.outcomes == {"200": result.sent}
    assert 2 <= result.sent <= 10


def test_requests_are_sent_by_their_weights(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    requests = [Request("/often", weight=3), Request("/seldom")]
    result = run(server.url, users=2, count=400, requests=requests, workers=2)
    ended = {label: share.ended for label, share in result.by_request.items()}
    assert ended["GET /often"] == sum(b"/often" in r for r in server.requests)
    assert sum(ended.values()) == 400
    # By chance, and the same chance each time: 300 on average, with a standard deviation of 9.
    assert 250 < ended["GET /often"] < 350


def test_connect_rate_still_sends_everything(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, users=5, count=20, keepalive=False, connect_rate=200)
    assert (result.outcomes, server.connections) == ({"200": 20}, 20)


def test_new_connections_at_a_pace(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    result = run(server.url, users=10, duration=1, keepalive=False, connect_rate=10)
    assert result.outcomes == {"200": server.connections}
    assert server.connections <= 11  # due at 0, 0.1, ...; one more for rounding


def test_a_killed_worker_marks_the_result(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    own = psutil.Process()
    before = {child.pid for child in own.children()}

    def kill_one(progress: Progress) -> None:
        victims = [child for child in own.children() if child.pid not in before]
        if progress.sent and len(victims) == 2:
            victims[0].kill()

    plan = Plan.make(users=2, duration=3.5, think_time=0.01)
    result = BuiltinEngine(2).run(plan, Target(server.url), kill_one)
    assert (result.generator.workers, result.generator.lost) == (2, 1)
    assert 0 < sum(result.outcomes.values()) <= result.sent <= len(server.requests) + 1
    with pytest.raises(CriterionFailed, match="1 of 2 load workers were lost"):
        result.require("error_rate < 50%")
    assert Result.from_dict(result.to_dict()) == result


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_stops_the_workers_and_passes(
    raw_server: MakeServer, error: type[BaseException]
) -> None:
    own = psutil.Process()
    before = {child.pid for child in own.children()}

    def interrupt(progress: Progress) -> None:
        raise error

    plan = Plan.make(users=1, duration=60, think_time=0.05)
    with pytest.raises(error):
        BuiltinEngine(1).run(plan, Target(raw_server(ok).url), interrupt)
    assert {child.pid for child in own.children()} <= before


def test_a_worker_ends_when_nobody_holds_its_input(raw_server: MakeServer) -> None:
    server = raw_server(ok)
    job = {
        "plan": Plan.make(users=1, duration=60, think_time=0.05).to_dict(),
        "address": ["127.0.0.1", server.port],
        "host": "127.0.0.1",
        "tag": None,
        "warmup_tag": None,
        "nonce": None,
        "index": 0,
        "of": 1,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "pytest_winserve.load.engines.builtin.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(pytest_winserve.__file__).parents[1],
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(job) + "\ngo\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["type"] == "ready"
        assert json.loads(process.stdout.readline())["type"] == "progress"
        process.stdin.close()
        assert process.wait(timeout=30) == 1


def test_losing_every_worker_at_once_is_an_error_with_its_output(
    raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")  # no Python starts like this
    with pytest.raises(LoadError, match="died before the load began"):
        run(raw_server(ok).url, count=1)


def test_a_host_that_does_not_resolve_is_an_error() -> None:
    with pytest.raises(LoadError, match="resolve"):
        run("http://does-not-exist.invalid:80", count=1)


def test_of_several_addresses_the_one_that_listens_is_taken(
    raw_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where localhost is ::1 first.
    addresses = [(0, 0, 0, "", ("::1", 0, 0, 0)), (0, 0, 0, "", ("127.0.0.1", 0))]
    own = socket.getaddrinfo

    def both(host: str, *arguments: Any, **more: Any) -> Any:
        return addresses if host == "localhost" else own(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    server = raw_server(ok)
    result = run(f"http://localhost:{server.port}", users=2, count=6)
    assert result.outcomes == {"200": 6}
    assert {r.split(b"\r\n")[1] for r in server.requests} == {b"Host: localhost:%d" % server.port}
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = Target(f"http://localhost:{bound.getsockname()[1]}")
        assert resolve(nobody)[0] == "::1"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://127.0.0.1", "http://127.0.0.1/x", "http://h:99999", "http://"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="http://HOST:PORT"):
        Target(url)


def test_engines_by_name() -> None:
    assert {"builtin", "locust", "tsung"} <= set(engine_names())
    assert "with" in get_engine("builtin").ready()
    known = f"known: {', '.join(engine_names())}$"
    for name in ("jmeter", "builtn"):
        with pytest.raises(UsageError, match=f"unknown engine '{name}'; .*{known}"):
            get_engine(name)
