"""A deployment's services for real: installed, killed, upgraded and removed by its batch files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_winserve.deploy.services.nssm import get_nssm
from pytest_winserve.hosts.wine.layout import dropped, find_wine, windows_path
from tests.hosts.wine.conftest import COMMAND_SECONDS, OwnWine
from tests.kit.components import needs
from tests.kit.traces import answered
from tests.kit.waiting import eventually

pytestmark = needs("wine", "minutes")

PORT = 23_500
APP = """
import os
from flask import Flask
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: f"{os.environ['GREETING']} {os.getpid()}")
"""
OF_THE_APP = (
    "flask", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous", "blinker", "waitress",
    "colorama",
)  # fmt: skip
DEPLOY = """
import os, sys
os.environ["PATH"] += ";" + sys.argv.pop(1)
os.chdir(sys.argv.pop(1))
from pytest_winserve.cli import main
main()
"""
BATCH = """
import subprocess, sys
done = subprocess.run(f'cmd /d /s /c ""{sys.argv[1]}""', stdin=subprocess.DEVNULL,
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="C:\\\\")
sys.stdout.buffer.write(b"%d\\n" % done.returncode + done.stdout)
"""


class Windows:
    """Programs of the Windows that the test has for itself."""

    def __init__(self, own: OwnWine) -> None:
        self._own = own
        gone = set(dropped(os.environ))
        here = {name: value for name, value in os.environ.items() if name not in gone}
        self._environment = here | own.layout.environment() | {"LC_ALL": "C.UTF-8"}
        self._words = [str(find_wine()), str(own.layout.executable)]
        # Wine's services get the environment of the first program: it does not know this package.
        # What they keep open is not to be waited for.
        self.keeper = subprocess.Popen(
            [*self._words, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._without_package(),
        )  # fmt: skip
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline().strip() == b"up"

    def _without_package(self) -> dict[str, str]:
        return {k: v for k, v in self._environment.items() if k != "PYTHONPATH"}

    def python(self, *words: str, package: bool = False) -> str:
        done = subprocess.run(
            [*self._words, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=COMMAND_SECONDS, check=False,
            env=self._environment if package else self._without_package(),
        )  # fmt: skip
        return done.stdout.decode("cp437").replace("\r", "")

    def batch(self, path: Path) -> tuple[int, str]:
        status, _, said = self.python("-c", BATCH, windows_path(path)).partition("\n")
        return int(status), said


@pytest.fixture
def windows(own_wine: OwnWine) -> Iterator[Windows]:
    windows = Windows(own_wine)
    yield windows
    # Not until the end of its output: services of a test that failed would keep that open.
    for stream in (windows.keeper.stdin, windows.keeper.stdout):
        assert stream is not None
        stream.close()
    windows.keeper.wait(COMMAND_SECONDS)


def test_services_are_installed_killed_upgraded_and_removed(
    windows: Windows, own_wine: OwnWine, tmp_path: Path
) -> None:
    app, programs = tmp_path / "Büro & Co", tmp_path / "programs"
    app.mkdir()
    programs.mkdir()
    get_nssm(programs)
    (app / "shop.py").write_text(APP, "utf-8")
    (app / "prod.env").write_text("GREETING=hello\n", "utf-8")
    venv = app / "venv"
    windows.python("-m", "venv", "--without-pip", windows_path(venv))
    for name in OF_THE_APP:
        for path in own_wine.layout.site.glob(f"{name}*"):
            if path.is_dir():
                shutil.copytree(path, venv / "Lib" / "site-packages" / path.name)
    to = app / "site one"
    said = windows.python(
        "-c", DEPLOY, windows_path(programs), windows_path(app), "deploy", "nginx2-waitress",
        "--app", "shop:app", "--to", windows_path(to), "--name", "shop", "--port", str(PORT),
        "--env-file", "prod.env", "--python", "venv", package=True,
    )  # fmt: skip
    assert (to / "install.cmd").is_file(), said

    for _ in range(2):
        status, said = windows.batch(to / "install.cmd")
        assert status == 0, said
        assert "shop-front: running" in said
    assert windows.batch(to / "status.cmd")[0] == 0

    def backends() -> list[psutil.Process]:
        return own_wine.windows(f"--listen=127.0.0.1:{PORT + 1}")

    killed = backends()
    for process in killed:
        process.kill()
    eventually(lambda: set(backends()) - set(killed) and answered(PORT + 1), seconds=60)

    status, said = windows.batch(to / "upgrade.cmd")
    assert (status, said.count("restarted")) == (0, 2), said
    for _ in range(2):
        assert windows.batch(to / "stop.cmd")[0] == 0
    status, said = windows.batch(to / "status.cmd")
    assert (status, said.count("stopped; does not answer")) == (1, 3), said
    for _ in range(2):
        assert windows.batch(to / "uninstall.cmd")[0] == 0
    assert "shop-front: not installed" in windows.batch(to / "status.cmd")[1]
    assert not any(answered(port) for port in range(PORT, PORT + 3))
    # The process of a service ends after it has said that it stopped.
    eventually(lambda: not own_wine.windows(windows_path(to / "nssm.exe")), seconds=90)
