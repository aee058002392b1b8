"""The server `command`: command lines that cannot be, and commands that misbehave."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from pytest_winserve.errors import StartError, StopError, UsageError
from pytest_winserve.system.locks import shared_folder
from tests.kit.commands import winserve
from tests.kit.platforms import not_on_windows, tells_who_listens
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

SERVES = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(sys.argv).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
def serve(port):
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""

posix = not_on_windows("TerminateProcess cannot be ignored on Windows")


def command(script: Path, source: str, *words: str) -> str:
    """The command line of a script with this source, which gets the port as its first word."""
    script.parent.mkdir(exist_ok=True)
    script.write_text(SERVES + source, encoding="utf-8")
    line = [sys.executable, str(script), "{port}", *words]
    return subprocess.list2cmdline(line) if sys.platform == "win32" else shlex.join(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (None, "needs a command line"),
        ("", "needs a command line"),
        (" \t", "needs a command line"),
        ("python serve.py 8000", "has no {port}"),
        pytest.param(
            "python 'serve.py {port}",
            "No closing quotation",
            marks=not_on_windows("on Windows each program splits its command line itself"),
        ),
    ],
)
def test_command_lines_that_cannot_be(
    serve: Serve, traces: Traces, line: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        serve("command", command=line)
    traces.nothing_started()


def test_wrong_usage_has_its_own_status() -> None:
    done = winserve("up", "command", "--command", "python serve.py")
    assert done.status == 2
    assert "has no {port}" in done.err


ENDS = {
    "no such program": ("/no/such/program {port}", "cannot start '/no/such/program {port}': "),
    "a NUL": ("python \0 {port}", "cannot start 'python \\x00 {port}': embedded null"),
}


@pytest.mark.parametrize(("line", "message"), ENDS.values(), ids=list(ENDS))
def test_what_cannot_be_started(serve: Serve, line: str, message: str) -> None:
    with pytest.raises(StartError) as caught:
        serve("command", command=line)
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("status", [0, 1])
def test_exiting_at_once(tmp_path: Path, status: int) -> None:
    line = command(tmp_path / "serve.py", f"sys.exit('last words' if {status} else 0)")
    done = winserve("up", "command", "--command", line)
    assert done.status == 1
    assert f"exited at once with exit status {status}" in done.err
    assert ("last words" in done.err) is bool(status)
    assert "Traceback" not in done.err


def waited(error: BaseException) -> float:
    """How long a command was given to listen: half of the time to come up, and less after a Python
    that was slow to start."""
    found = re.search(r"does not listen on port \d+ after ([\d.]+) s, it listens on ", str(error))
    assert found is not None, error
    return float(found[1])


def test_never_listening(tmp_path: Path, serve: Serve) -> None:
    line = command(tmp_path / "serve.py", "import time; print('thinking', flush=True)\n"
                   "time.sleep(600)")  # fmt: skip
    with pytest.raises(StartError) as caught:
        serve("command", command=line, start_timeout=5)
    assert "no port at all" in str(caught.value)
    assert waited(caught.value) <= 2.5
    assert "thinking" in str(caught.value)


@tells_who_listens
def test_listening_elsewhere(tmp_path: Path, serve: Serve) -> None:
    line = command(
        tmp_path / "serve.py",
        "server = http.server.HTTPServer(('127.0.0.1', 0), Handler)\n"
        f"open({str(tmp_path / 'port')!r}, 'w').write(str(server.server_port))\n"
        "server.serve_forever()",
    )
    with pytest.raises(StartError) as caught:
        serve("command", command=line, start_timeout=5)
    port = (tmp_path / "port").read_text()
    assert f" s, it listens on {port}" in str(caught.value)
    assert waited(caught.value) <= 2.5
    assert "somebody else" not in str(caught.value)


DETACHED = """
import subprocess
if len(sys.argv) == 2:
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "between"]).wait()
    {then}
elif sys.argv[2] == "between":
    subprocess.Popen([sys.executable, __file__, sys.argv[1], "detached"], start_new_session=True)
else:
    {detached}
"""


@tells_who_listens
def test_a_process_of_somebody_else_has_the_port(tmp_path: Path, serve: Serve) -> None:
    noted = tmp_path / "pid"
    line = command(
        tmp_path / "serve.py",
        DETACHED.format(
            then="import time; time.sleep(600)",
            detached=f"open({str(noted)!r}, 'w').write(str(os.getpid())); serve(sys.argv[1])",
        ),
    )
    with pytest.raises(StartError) as caught:
        serve("command", command=line, start_timeout=5)
    message = str(caught.value)
    assert "it listens on no port at all; somebody else listens on port" in message
    assert f"(held by pid {noted.read_text()}, python" in message


def test_leaving_a_process_behind(tmp_path: Path, serve: Serve, traces: Traces) -> None:
    noted = tmp_path / "pid"
    line = command(
        tmp_path / "serve.py",
        DETACHED.format(
            then=f"""while not (os.path.exists({str(noted)!r})): pass
    serve(sys.argv[1])""",
            detached=f"import time; open({str(noted)!r}, 'w').write(str(os.getpid()))\n"
            "    time.sleep(600)",
        ),
    )
    site = serve("command", command=line)
    assert site.get("/test").status_code == 200
    with pytest.raises(StopError) as caught:
        site.close()
    pid = noted.read_text()
    assert f"left a process behind, which was killed: pid {pid} (" in str(caught.value)
    traces.gone()


@posix
def test_ignoring_the_request_to_stop(tmp_path: Path, serve: Serve, traces: Traces) -> None:
    line = command(
        tmp_path / "serve.py",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); serve(sys.argv[1])",
    )
    site = serve("command", command=line)
    with pytest.raises(StopError) as caught:
        site.close()
    assert "the command ignored the request to stop for 3 s and was killed" in str(caught.value)
    traces.gone()


def test_dying_while_it_serves(tmp_path: Path, serve: Serve) -> None:
    line = command(
        tmp_path / "serve.py",
        "Handler.do_POST = lambda self: os._exit(5)\nserve(sys.argv[1])",
    )
    site = serve("command", command=line)
    with pytest.raises(OSError):
        site.client.post("/")
    with site:
        # The keeper of the command notices it in its own time.
        while not site.deaths():
            pass
        assert "the command ended by itself with exit status 5" in site.logs()["backend-0"]


def test_words_never_reach_a_shell(tmp_path: Path, serve: Serve) -> None:
    words = ["a b", ";", "$(touch hacked)", "`touch hacked`", "&&", "touch", "hacked", "|", ">",
             "hacked", "$HOME", "*", "q\"uo'te"]  # fmt: skip
    line = command(
        tmp_path / "folder with 'quotes' & spaces; $(touch hacked)" / "serve it.py",
        "serve(sys.argv[1])",
        *words,
    )
    with serve("nginx2-command", command=line) as site:
        answers = [site.get("/test").json() for _ in range(4)]
        ports = {answer[1] for answer in answers}
        assert len(ports) == 2
        assert all(answer[2:] == words for answer in answers)
        # What keeps two backends from choosing the same port before either listens on it.
        for port in ports:
            with pytest.raises(Timeout):
                FileLock(shared_folder() / f"port-{port}.lock").acquire(timeout=0)
    assert not list(tmp_path.rglob("hacked*"))
