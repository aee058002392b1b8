"""Ports that somebody else has: before the start, while an app loads, and in a race."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_winserve.errors import StartError
from tests.kit.commands import winserve
from tests.kit.platforms import WINE, not_on_windows
from tests.kit.ports import free_port
from tests.kit.traces import MARK, Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("topology", ["flask", "nginx2", "command"])
def test_a_wanted_port_that_is_taken(taken: int, traces: Traces, topology: str) -> None:
    line = ["--command", f"{sys.executable} -m http.server {{port}}"]
    done = winserve("up", topology, "--port", str(taken), *(line if topology == "command" else []))
    assert done.status == 2
    assert f"winserve: port {taken} cannot be used: " in done.err
    if not WINE:  # it does not tell who listens
        assert f"(held by pid {os.getpid()}, " in done.err
    assert done.out == ""
    traces.nothing_started()


def test_a_port_outside_of_the_range() -> None:
    assert winserve("up", "flask", "--port", "65536").status == 2


@not_on_windows("on Windows a port is exclusive once it is bound")
def test_a_port_taken_while_the_app_loads(tmp_path: Path, serve: Serve) -> None:
    port = free_port()
    (tmp_path / "shop.py").write_text(
        "import socket\n"
        f"server = socket.create_server(('127.0.0.1', {port}))\n"
        "def app(environ, start_response): ...\n"
    )
    with pytest.raises(StartError) as caught:
        serve("flask", "shop:app", port=port)
    text = str(caught.value)
    said = os.strerror(errno.EADDRINUSE)
    assert f"port {port} was taken while the app loaded: {said} (held by" in text
    assert "Traceback" not in text


# Takes nginx's port before the first start of the real nginx, which then fails as in a race, and
# gives it back before the second.
RACE = r"""#!{python}
import os, re, signal, subprocess, sys
pid_file, count_file = {pid!r}, {count!r}
if "-v" not in sys.argv:
    port = re.search(r"listen 127.0.0.1:(\d+)", open("nginx.conf").read())[1]
    with open(count_file, "a") as file:
        file.write(port + "\n")
    if os.path.exists(pid_file):
        os.kill(int(open(pid_file).read()), signal.SIGKILL)
    else:
        code = (
            "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
            "print(flush=True); time.sleep(600)"
        )
        environment = {{"{mark}": os.environ["{mark}"]}}  # not the lab's tag: somebody else
        holder = subprocess.Popen([sys.executable, "-c", code, port], stdout=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, env=environment,
                                  start_new_session=True)
        holder.stdout.readline()
        with open(pid_file, "w") as file:
            file.write(str(holder.pid))
os.execv({nginx!r}, [{nginx!r}, *sys.argv[1:]])
"""


@pytest.fixture
def racing_nginx(tmp_path: Path, nginx: Path, traces: Traces) -> Iterator[Path]:
    """An nginx that loses its port at its first start; who has taken it ends with the test."""
    script = tmp_path / "racing-nginx"
    script.write_text(
        RACE.format(
            python=sys.executable, pid=str(tmp_path / "pid"), count=str(tmp_path / "ports"),
            mark=MARK, nginx=str(nginx),
        )
    )  # fmt: skip
    script.chmod(0o755)
    yield script
    for process in traces.processes():
        if str(process.pid) == holder_of_the_port(tmp_path):
            process.kill()


def holder_of_the_port(folder: Path) -> str:
    """The pid of the process that has taken nginx's port, once there is one."""
    path = folder / "pid"
    return path.read_text() if path.exists() else ""


posix = not_on_windows("on Windows a script cannot stand in for a program")


@posix
def test_nginx_takes_the_next_port_when_it_loses_one(
    tmp_path: Path, serve: Serve, racing_nginx: Path
) -> None:
    with serve("nginx1", nginx=str(racing_nginx)) as site:
        ports = (tmp_path / "ports").read_text().split()
        assert len(ports) == len(set(ports)) == 2
        assert site.url == f"http://127.0.0.1:{ports[1]}"
        assert site.get("/test").status_code == 200
        assert "98: " not in site.logs()["nginx"]


@posix
def test_nginx_losing_the_wanted_port_says_so(serve: Serve, racing_nginx: Path) -> None:
    port = free_port()
    with pytest.raises(StartError) as caught:
        serve("nginx1", nginx=str(racing_nginx), port=port)
    text = str(caught.value)
    # In the words of its own C library: the wheel's nginx is linked with musl.
    said = "Address( already)? in use"
    assert re.search(rf"bind\(\) to 127.0.0.1:{port} failed \({errno.EADDRINUSE}: {said}\)", text)
    assert "exited with status 1 while starting" in text
