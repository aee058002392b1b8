"""The programs that make services: got, or said where they are to be had; and what control.py does
with them where there are no such services."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_winserve.deploy.app import DeployedApp
from pytest_winserve.deploy.folder import write
from pytest_winserve.deploy.order import Order, get_services
from pytest_winserve.deploy.services.nssm import get_nssm
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.topology import Topology
from tests.kit.commands import clean_environment

COMMANDS = ["install", "start", "stop", "upgrade", "uninstall"]
WRAPPERS = ["nssm", "winsw"]
HOSTILE = """Büro & Söhne's <new>; "a" -- ]]>"""
ELEMENTS = {
    "id", "name", "description", "executable", "arguments", "workingdirectory", "startmode",
    "stoptimeout", "logpath", "depend", "log", "onfailure",
}  # fmt: skip
"""Of those in WinSW's "XML configuration file" the ones that are used."""
DESCRIBED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from service_control import site, winsw
print(json.dumps([winsw.described(service) for service in site.backends() + site.fronts()]))
"""
RUN = """
import json, sys
sys.path.insert(0, sys.argv[1])
from service_control import windows
said = [windows.run(sys.executable, "-c", "print('done'); raise SystemExit(3)")]
windows.COMMAND_SECONDS = 0.5
said.append(windows.run(sys.executable, "-c", "import time; time.sleep(600)"))
said.append(windows.run(sys.argv[1]))
print(json.dumps([*said, windows.TOO_LONG, windows.NOT_STARTED]))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both on the PATH, as files: no Windows is here that could run them."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in WRAPPERS:
        program = folder / (f"{name}.exe" if sys.platform == "win32" else name)
        program.write_bytes(b"MZ")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def order(services: str, folder: Path, python: str = sys.executable) -> Order:
    return Order(
        Topology.parse("nginx2-waitress"), DeployedApp(folder.parent, folder.parent, "shop:app"),
        folder, "shop", "127.0.0.1", 8080, 8081, services,
        AppPython(python, "3.12.1", python, ("linux",), {"waitress": "3.0.2"}), (), "auto", "/", 12,
    )  # fmt: skip


@pytest.fixture
def deployed(request: pytest.FixtureRequest, programs: None, tmp_path: Path) -> Path:
    """A folder with services by the wrapper that the test names."""
    folder = tmp_path / HOSTILE
    write(order(request.param, folder))
    return folder


def by_python(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, words)], env=clean_environment(),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("deployed", WRAPPERS, indirect=True)
def test_a_command_that_does_not_end_or_does_not_start(deployed: Path) -> None:
    done = by_python(RUN, deployed)
    assert done.returncode == 0, done.stderr
    *said, (status, why), too_long, not_started = json.loads(done.stdout)
    assert said == [[3, "done"], [too_long, "it did not end in 0.5 s"]]
    assert (status, why.partition(": ")[0]) == (not_started, "it could not be started")


def test_no_nssm_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (tmp_path / "site").mkdir()
    with pytest.raises(MissingComponent, match=r"(?s)not on the PATH.*--services files") as caught:
        get_nssm(tmp_path / "site")
    assert "put nssm.exe (https://nssm.cc)" in str(caught.value)
    assert not list((tmp_path / "site").iterdir())


def test_no_winsw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingComponent, match=r"(?s)winsw.exe is not on the PATH.*WinSW-x64.exe"):
        write(order("winsw", tmp_path / "site"))
    assert not files(tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("deployed", WRAPPERS, indirect=True)
def test_where_services_cannot_be_changed_nothing_is(command: str, deployed: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("platform: there are services here")
    before = files(deployed)
    done = subprocess.run(
        [sys.executable, "-I", "control.py", command], cwd=deployed, env=clean_environment(),
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "these services are for Windows; nothing was changed\n",
    )  # fmt: skip
    assert files(deployed) == before


@pytest.mark.parametrize("deployed", WRAPPERS, indirect=True)
def test_a_folder_has_its_own_wrapper_only(deployed: Path, request: pytest.FixtureRequest) -> None:
    mine = request.node.callspec.params["deployed"]
    for name in WRAPPERS:
        there = [(deployed / f"{name}.exe").exists(),
                 (deployed / "service_control" / f"{name}.py").exists()]  # fmt: skip
        assert there == [name == mine] * 2
    assert f"SERVICES = '{mine}'" in (deployed / "settings.py").read_text("utf-8")
    readme = (deployed / "README.txt").read_text("utf-8")
    assert ("Nothing of this was run by WinSW" in readme) == (mine == "winsw")
    assert {f"{name}.cmd" for name in [*COMMANDS, "status"]} <= {*files(deployed)}


@pytest.mark.parametrize("deployed", ["winsw"], indirect=True)
def test_what_winsw_is_told_is_what_its_documentation_knows(deployed: Path) -> None:
    done = by_python(DESCRIBED, deployed)
    assert done.returncode == 0, done.stderr
    described = [ElementTree.fromstring(text.encode()) for text in json.loads(done.stdout)]
    for each in described:
        assert each.tag == "service"
        assert {child.tag for child in each} <= ELEMENTS
    first, second, front = described
    assert [each.findtext("id") for each in described] == [
        "shop-backend-1", "shop-backend-2", "shop-front",
    ]  # fmt: skip
    assert [child.text for child in front.iter("depend")] == ["shop-backend-1", "shop-backend-2"]
    assert (first.find("depend"), second.find("depend")) == (None, None)
    assert first.findtext("executable") == sys.executable
    assert first.findtext("workingdirectory") == str(deployed)
    assert first.findtext("logpath") == str(deployed / "logs")
    assert "127.0.0.1:8081" in (first.findtext("arguments") or "")
    assert first.findtext("stoptimeout") == "20 sec"
    (log,), (failure,) = first.iter("log"), first.iter("onfailure")
    assert (log.attrib, log.findtext("sizeThreshold")) == ({"mode": "roll-by-size"}, "10240")
    assert failure.attrib == {"action": "restart", "delay": "1 sec"}


def test_a_path_of_which_winsw_would_make_a_variable(tmp_path: Path) -> None:
    for folder, python, said in (("a%b", "python", "--to="), ("ab", "100%/python", "--python=")):
        with pytest.raises(UsageError, match=f"^{said}.*WinSW takes .* name a path without %"):
            get_services("winsw").check(order("winsw", tmp_path / folder, python))
