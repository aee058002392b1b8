"""A deployed folder, run by hand: it answers, without this package."""

from __future__ import annotations

import http.client
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.kit.commands import winserve
from tests.kit.deployed import run_by_hand
from tests.kit.ports import free_row
from tests.kit.waiting import eventually

APP = """
import os
from flask import Flask

def create_app(kind):
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: f"{kind} {os.environ['GREETING']} {os.getcwd()}")
    return app

app = create_app("plain")
"""
SERVERS = ("waitress", "cheroot", "hypercorn", "tornado:threads=2", "uvicorn", "nginx2-waitress")


def get(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "Büro & 100% ok"
    folder.mkdir()
    (folder / "shop.py").write_text(APP, "utf-8")
    (folder / "prod.env").write_text('GREETING="grüß dich"  # not shown\n', "utf-8")
    return folder


@pytest.mark.parametrize("topology", SERVERS)
def test_it_is_deployed_and_answers(topology: str, app_folder: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("platform: ended by a signal")
    port, to = free_row(4)[0], app_folder / "site"
    done = winserve(
        "deploy", topology, "--app", "shop:create_app('made')", "--to", to, "--name", "shop",
        "--port", str(port), "--address", "127.0.0.1", "--services", "files",
        "--env-file", "prod.env", cwd=app_folder,
    )  # fmt: skip
    assert done.status == 0, done.err
    with run_by_hand(to) as process:
        wanted = f"made grüß dich {app_folder}"
        log = to / "output.txt"
        eventually(lambda: "all of it answers" in log.read_text(), seconds=60)
        assert get(port) == wanted
        if topology.startswith("nginx"):
            (access,) = (to / "nginx" / "logs").glob("access-*.log")
            eventually(lambda: '"GET / HTTP/1.1" 200' in access.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert get(port) == ""
    for path in to.glob("*.*"):
        assert b"dich" not in path.read_bytes()  # no secret was copied
    for path in to.glob("*.cmd"):
        assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--app", "shop:missing"), "has no 'missing'"),
        (("--app", "nowhere"), "there is no module 'nowhere'"),
        (("--app", "shop:app", "--env-file", "none.env"), "--env-file none.env: No such file"),
        (("--app", "shop:app", "--name", "a b"), "as in: --name shop"),
    ],
)
def test_what_is_refused_writes_nothing(
    arguments: tuple[str, ...], said: str, app_folder: Path
) -> None:
    done = winserve(
        "deploy", "waitress", "--to", "site", "--services", "files", *arguments, cwd=app_folder
    )
    assert (done.status, said in done.err) == (2, True), done.err
    assert not (app_folder / "site").exists()


def test_a_port_that_is_taken(app_folder: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = str(sock.getsockname()[1])
        done = winserve(
            "deploy", "waitress", "--app", "shop", "--to", "site", "--services", "files",
            "--port", port, "--address", "127.0.0.1", cwd=app_folder,
        )  # fmt: skip
    assert done.status == 2
    assert f"127.0.0.1: port {port} cannot be used" in done.err
