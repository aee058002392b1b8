"""What is special on Windows: job objects, nginx.exe, launchers, letters in folders and logs."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.errors import StartError
from pytest_winserve.system.keeper import new_keeper
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.ports import bound_socket
from pytest_winserve.system.process_tree import alive
from pytest_winserve.system.program import Program
from tests.kit.commands import clean_environment
from tests.kit.fixtures import folder_of
from tests.kit.platforms import windows_only
from tests.kit.waiting import eventually

pytestmark = windows_only

# A child that shares nothing with its parent.
CHILD = """
import subprocess, sys
flags = getattr(subprocess, "DETACHED_PROCESS", 0)
code = "import time; time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], creationflags=flags)
"""
LETTERS = "gr\u00fc\u00df \u20ac \u65e5\u672c \U0001f600"
APP = f"""
import sys
print("out {LETTERS} \\udc80")
print("err {LETTERS}", file=sys.stderr)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [__file__.encode()]
"""


def gone(those: Iterable[psutil.Process]) -> bool:
    return not any(map(alive, those))


def workers(site: Site) -> list[psutil.Process]:
    """nginx's own children."""
    return psutil.Process(site.deployment.pids()["nginx"]).children()


# -- the job object ---------------------------------------------------------------------------


def test_the_job_has_what_its_members_start_and_ends_them(tmp_path: Path) -> None:
    code = f"{CHILD}print(child.pid, flush=True); child.wait()"
    program = Program(
        "parent", [sys.executable, "-c", code], tmp_path, clean_environment(), tmp_path
    )
    keeper = new_keeper(secrets.token_hex(8))
    program.start(keeper)
    try:
        child = int(eventually(lambda: program.output.read_text().strip()))
        members = keeper.members()
        assert {process.pid for process in members} == {program.pid, child}
    finally:
        assert keeper.dismiss() == []
        program.ask_to_stop()
    eventually(lambda: gone(members))
    assert program.wait(20) is not None


KILLED = """
import json, sys
from pytest_winserve import Lab

if __name__ == "__main__":
    with Lab().serve("nginx2", app="shop:app") as one, Lab().serve("waitress") as other:
        sites = [one, other]
        pids = [pid for site in sites for pid in site.deployment.pids().values()]
        ports = [site.deployment.address[1] for site in sites]
        ports += [int(b.url.rpartition(":")[2]) for site in sites for b in site.backends]
        children = {int(one.get("/").text) for _ in range(4)}
        print(json.dumps({"pids": [*pids, *children], "ports": ports}), flush=True)
        sys.stdin.read()
"""
PARENT = f"""{CHILD}
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(child.pid).encode()]
"""


def test_nothing_outlives_a_killed_lab(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(KILLED)
    (tmp_path / "shop.py").write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, "lab.py"], cwd=tmp_path, env=clean_environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as lab:  # fmt: skip
        assert lab.stdout is not None
        told = json.loads(lab.stdout.readline())
        started = psutil.Process(lab.pid).children(recursive=True)
        lab.kill()
    # nginx, its worker, three backends, and a child of each app in two of them.
    assert len(set(told["pids"])) == 6
    assert set(told["pids"]) < {process.pid for process in started}
    eventually(lambda: gone(started))
    for port in told["ports"]:
        bound_socket(port).close()


# -- nginx.exe --------------------------------------------------------------------------------


def test_one_request_to_stop_ends_nginx_and_its_worker(lab: Lab) -> None:
    site = lab.serve("nginx1")
    nginx = [psutil.Process(site.deployment.pids()["nginx"]), *workers(site)]
    folder = folder_of(site)
    assert len(nginx) == 2
    site.close()  # which raises whatever it has to complain of
    assert gone(nginx)
    assert not folder.exists()


def test_a_worker_does_not_outlive_its_killed_nginx(lab: Lab) -> None:
    with lab.serve("nginx1") as site:
        pid = site.deployment.pids()["nginx"]
        nginx = [psutil.Process(pid), *workers(site)]
        assert len(nginx) == 2
        nginx[0].kill()
        (death,) = eventually(site.deaths)
        assert death.startswith(f"nginx (pid {pid}) exited with status ")
        port = site.deployment.address[1]
    assert gone(nginx)
    bound_socket(port).close()


# -- launchers --------------------------------------------------------------------------------

LAUNCHED = """
import json, os, psutil, sys
from pytest_winserve import Lab

if __name__ == "__main__":
    with Lab().serve("flask") as site:
        (backend,) = site.backends
        launcher = psutil.Process(backend.pid).parent()
        told = {"prefix": sys.prefix, "lab": os.getpid(), "launcher": launcher.pid,
                "backend": backend.pid, "serving": site.get("/test").json()["pid"]}
        pair = [launcher, psutil.Process(backend.pid)]
    print(json.dumps({**told, "left": [process.is_running() for process in pair]}))
"""


def test_a_virtual_environments_launcher_is_not_taken_for_the_backend(tmp_path: Path) -> None:
    folder = tmp_path / "an environment"
    venv.create(folder, system_site_packages=True)
    (tmp_path / "lab.py").write_text(LAUNCHED)
    done = subprocess.run(
        [folder / "Scripts" / "python.exe", "lab.py"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert Path(told["prefix"]) == folder
    assert told["backend"] == told["serving"]
    assert len({told["lab"], told["launcher"], told["backend"]}) == 3
    assert told["left"] == [False, False]


# -- letters ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, and the temporary one, with letters of several alphabets."""
    folder = tmp_path / "a gr\u00fc\u00df \u65e5\u672c"
    temporary = folder / "\u20ac temp"
    temporary.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("topology", ["flask", "nginx2-tornado"])
def test_letters_in_folders_and_in_what_the_app_prints(
    lab: Lab, folder: Path, topology: str
) -> None:
    (folder / "shop.py").write_text(APP, encoding="utf-8")
    with lab.serve(topology, app="shop:app") as site:
        assert folder_of(site).is_relative_to(folder)
        assert site.get("/").text == str(folder / "shop.py")
        assert site.load(users=2, count=10, path="/").outcomes == {"200": 10}
        for backend in site.backends:
            assert backend.log.splitlines()[:2] == [f"out {LETTERS} \\udc80", f"err {LETTERS}"]
    assert {path.name for path in folder.glob("* temp/*")} == {shared_folder().name}


def test_letters_in_what_the_app_raises(lab: Lab, folder: Path) -> None:
    (folder / "shop.py").write_text(f"raise LookupError({LETTERS!r})", encoding="utf-8")
    with pytest.raises(StartError) as caught:
        lab.serve("flask", app="shop:app")
    assert f"could not be loaded: LookupError: {LETTERS}\n" in str(caught.value)
    assert f'File "{folder / "shop.py"}", line 1' in str(caught.value)
