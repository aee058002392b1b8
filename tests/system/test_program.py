"""The process core: programs, how they ended, what they wrote, and the whole tree of them."""

from __future__ import annotations

import http.server
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from pytest_winserve.deployment.readiness import first_answer
from pytest_winserve.errors import StartError
from pytest_winserve.system.keeper import Keeper, new_keeper
from pytest_winserve.system.process_tag import TAG_VARIABLE
from pytest_winserve.system.process_tree import alive, describe, kill, members
from pytest_winserve.system.program import Deadline, Program, describe_exit, indent, tail
from tests.kit.platforms import calls_it_a_zombie, not_on_windows
from tests.kit.programs import without_first_thread
from tests.kit.waiting import eventually


def program(folder: Path, code: str, **environment: str) -> Program:
    return Program(
        "a program", [sys.executable, "-c", code], folder, {**os.environ, **environment}, folder
    )


Start = Callable[[Program], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program with a keeper of its own, which is dismissed at the end of the test."""
    keepers: list[Keeper] = []

    def start(program: Program) -> None:
        keepers.append(new_keeper(secrets.token_hex(8)))
        program.start(keepers[-1])

    yield start
    assert [keeper.dismiss() for keeper in keepers] == [[]] * len(keepers)


def wait_for(program: Program) -> int:
    code: int = eventually(lambda: program.wait(1) is not None and [program.exit_code()])[0]
    return code


def finish(program: Program) -> None:
    program.ask_to_stop()
    program.kill()


def test_a_program_has_its_own_files_folder_and_environment(tmp_path: Path, start: Start) -> None:
    code = "import os, sys; print(os.getcwd()); print(os.environ['HINT'], file=sys.stderr)"
    one = program(tmp_path, code, HINT="a hint")
    assert one.exit_code() is None
    start(one)
    assert wait_for(one) == 0
    finish(one)
    assert one.output.read_text().strip() == str(tmp_path)
    assert one.tail().strip() == "a hint"
    assert one.death() == f"a program (pid {one.pid}) exited with status 0"


def test_what_it_is_told_and_that_nothing_more_comes(tmp_path: Path, start: Start) -> None:
    one = program(tmp_path, "import sys; print(sys.stdin.read(), file=sys.stderr); sys.exit(3)")
    start(one)
    one.tell("first")
    one.tell("second")
    assert one.death() is None
    one.ask_to_stop()
    one.ask_to_stop()
    assert wait_for(one) == 3
    assert one.tail().split() == ["first", "second"]
    assert one.death() == f"a program (pid {one.pid}) exited with status 3"


def test_telling_one_that_has_died_is_no_error(tmp_path: Path, start: Start) -> None:
    one = program(tmp_path, "")
    start(one)
    wait_for(one)
    for _ in range(3):
        one.tell("x" * 100_000)
    finish(one)
    one.terminate()
    one.kill()


def test_one_that_ignores_the_request_is_killed(tmp_path: Path, start: Start) -> None:
    one = program(tmp_path, "import time; time.sleep(600)")
    start(one)
    one.ask_to_stop()
    assert one.wait(0.1) is None
    one.kill()
    assert one.exit_code() is not None
    if os.name == "posix":
        assert one.death() == f"a program (pid {one.pid}) was killed by signal 9 (SIGKILL)"


def test_a_program_that_is_not_there(tmp_path: Path, start: Start) -> None:
    one = Program("ghost", [str(tmp_path / "ghost")], tmp_path, os.environ, tmp_path)
    with pytest.raises(StartError, match=r"ghost: cannot start .*ghost: "):
        start(one)


def test_blame_says_what_which_command_and_what_it_wrote(tmp_path: Path, start: Start) -> None:
    one = program(tmp_path, "import sys; sys.stderr.write('one\\ntwo\\n')")
    start(one)
    wait_for(one)
    finish(one)
    assert one.blame("it broke").splitlines() == [
        "it broke",
        f"  command: {subprocess.list2cmdline(one.command)}",
        "  the end of its log:",
        "    one",
        "    two",
    ]
    one.log.write_bytes(b"")
    assert one.blame("it broke").endswith("    (it wrote nothing)")


def test_describe_exit() -> None:
    assert describe_exit(0) == "exited with status 0"
    assert describe_exit(255) == "exited with status 255"
    assert describe_exit(-signal.SIGTERM) == "was killed by signal 15 (SIGTERM)"
    assert describe_exit(-99) == "was killed by signal 99"


@pytest.mark.parametrize(
    ("content", "size", "start", "text"),
    [
        (b"", 10, 0, ""),
        (b"short", 10, 0, "short"),
        (b"0123456789", 10, 0, "0123456789"),
        (b"0123456789", 4, 0, "...6789"),
        (b"0123456789", 4, 8, "89"),
        (b"0123456789", 4, 6, "6789"),
        (b"0123456789", 4, 5, "...6789"),
        (b"0123456789", 4, 10, ""),
        (b"0123456789", 4, 99, ""),
        ("gr\u00fc\u00df".encode() * 2, 3, 0, "...\ufffd\u00df"),
        (b"\xff\xfe", 10, 0, "\ufffd\ufffd"),
    ],
)
def test_tail(tmp_path: Path, content: bytes, size: int, start: int, text: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    assert tail(path, size, start) == text


def test_the_tail_of_no_file_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "nothing") == ""
    assert tail(tmp_path) == ""


def test_indent() -> None:
    assert indent("a\n\nb\n") == "    a\n    \n    b"


def test_a_deadline_never_has_less_than_nothing_left() -> None:
    assert Deadline.after(-5).left == 0
    assert 0 < Deadline.after(1000).left <= 1000


# -- the whole tree ---------------------------------------------------------------------------

CHILD = "import time; time.sleep(600)"
PARENT = f"""
import os, subprocess, sys, time
free = sys.argv[1] == "free"
environment = {{k: v for k, v in os.environ.items() if not (free and k == "{TAG_VARIABLE}")}}
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], env=environment,
                         start_new_session=sys.argv[2] == "own")
print(child.pid, flush=True)
if sys.argv[3] == "stay":
    time.sleep(600)
"""


@contextmanager
def family(tag: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A tagged leader and its child."""
    leader = subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, TAG_VARIABLE: tag},
        start_new_session=os.name == "posix",
    )
    assert leader.stdout is not None
    child = psutil.Process(int(leader.stdout.readline()))
    try:
        yield leader, child
    finally:
        kill([child])
        leader.kill()
        leader.communicate()


@pytest.mark.parametrize(
    "arguments",
    [
        ("tagged", "same", "stay"),
        ("tagged", "same", "leave"),
        ("tagged", "own", "stay"),
        ("tagged", "own", "leave"),
        ("free", "same", "stay"),
        ("free", "own", "stay"),
        pytest.param(
            ("free", "same", "leave"),
            marks=not_on_windows("Windows has no sessions"),
        ),
    ],
    ids="-".join,
)
def test_members_are_found_by_tag_session_or_descent(arguments: tuple[str, ...]) -> None:
    tag = secrets.token_hex(8)
    with family(tag, *arguments) as (leader, child):
        if arguments[2] == "leave":
            leader.wait()
        expected = {child.pid} if arguments[2] == "leave" else {child.pid, leader.pid}
        assert {process.pid for process in members(tag, [leader.pid])} == expected
        assert members(secrets.token_hex(8), []) == []
        assert f"pid {child.pid} (" in describe(child)
        assert kill(members(tag, [leader.pid])) == []
        leader.wait()
        assert members(tag, [leader.pid]) == []


@calls_it_a_zombie
def test_a_process_whose_first_thread_has_ended_is_found_and_ended() -> None:
    tag = secrets.token_hex(8)
    with without_first_thread({**os.environ, TAG_VARIABLE: tag}) as process:
        assert alive(process)
        assert members(tag, []) == [process]
        assert kill([process]) == []
        # Now it is a zombie of which nothing runs.
        assert not alive(process)
        assert members(tag, [process.pid]) == []


class Earlier(psutil.Process):
    """What psutil.process_iter has kept of a number that another process was given meanwhile."""

    def is_running(self) -> bool:
        return False

    def kill(self) -> None:
        raise psutil.NoSuchProcess(self.pid)


def test_a_process_with_the_number_of_an_earlier_one_is_found_and_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tag = secrets.token_hex(8)
    with family(tag, "tagged", "same", "leave") as (leader, child):
        leader.wait()
        monkeypatch.setattr(psutil, "process_iter", lambda: [Earlier(child.pid)])
        (found,) = members(tag, [])
        assert found == child
        assert kill([found]) == []
        assert not alive(child)


def test_this_process_is_never_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    tag = secrets.token_hex(8)
    monkeypatch.setenv(TAG_VARIABLE, tag)
    session = 0
    if sys.platform != "win32":
        session = os.getsid(0)
    found = members(tag, [session])
    assert os.getpid() not in {process.pid for process in found}


def test_a_process_that_is_gone_is_described_and_killed_without_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD]) as child:
        try:
            process = psutil.Process(child.pid)
            process.cmdline()
        finally:
            child.kill()
    assert describe(process) == f"pid {process.pid}"
    assert kill([process]) == []


# -- readiness --------------------------------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204 if self.path == "/ready?a=b" else 404, "Fine")
        self.send_header("X-Echo", self.headers["X-Ask"])
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_the_first_answer_comes_as_soon_as_somebody_listens() -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    looks = 0
    servers: list[http.server.HTTPServer] = []

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            server = http.server.HTTPServer(("127.0.0.1", port), Answers)
            threading.Thread(target=server.serve_forever, args=(0.01,)).start()
            servers.append(server)

    try:
        answer = first_answer(
            ("127.0.0.1", port), "/ready?a=b", {"X-Ask": "me"}, Deadline.after(60), look
        )
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
    assert (answer.status, answer.reason, answer.headers["x-echo"]) == (204, "Fine", "me")
    assert looks >= 3


def test_what_look_raises_ends_the_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        looks: list[float] = []

        def look() -> None:
            looks.append(time.perf_counter())
            if len(looks) == 4:
                raise StartError("the child has died")

        with pytest.raises(StartError, match="the child has died"):
            first_answer(silent.getsockname(), "/", {}, Deadline.after(600), look)
    assert len(looks) == 4


def test_the_deadline_says_how_far_it_came() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = silent.getsockname()
        where = "{}:{}".format(*address)
        with pytest.raises(StartError) as caught:
            first_answer(address, "/x", {}, Deadline.after(0.2), lambda: None)
        assert str(caught.value) == (
            f"no answer to GET /x at {where} in time: connected, but there was no answer"
        )
    with pytest.raises(StartError, match=rf"at {where} in time: .*refused"):
        first_answer(address, "/x", {}, Deadline.after(0.2), lambda: None)
