"""The Python of an app's environment: what is none is told as what it is."""

from __future__ import annotations

import subprocess
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.servers import get_server, lent, require_server, server_names
from pytest_winserve.shipping import lending
from pytest_winserve.shipping.app_python import AppPython, look_at
from tests.kit.platforms import not_on_windows

BUILD = ("cpython-310", "linux-x86_64", "glibc", "2.36")


def python(**installed: str) -> AppPython:
    versions = {name.replace("_", "-"): version for name, version in installed.items()}
    return AppPython("/shop/venv/bin/python", "3.10.1", "/shop/venv", BUILD, versions)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*nowhere; name the Python"):
        look_at(str(tmp_path / "nowhere"))


def test_a_folder_that_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no virtual environment: there is no .*python"):
        look_at(str(tmp_path))


@not_on_windows("a virtual environment has no links there")
def test_an_environment_that_was_moved(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.10").symlink_to(tmp_path / "gone" / "python3.10")
    (tmp_path / "bin" / "python").symlink_to("python3.10")
    for path in (tmp_path, tmp_path / "bin" / "python"):
        with pytest.raises(UsageError, match=r"leads to .*gone.* was moved, or .* removed"):
            look_at(str(path))


@pytest.mark.parametrize("name", ["waitress", "tornado", "gevent"])
def test_what_is_there_is_not_lent(name: str) -> None:
    server = get_server(name)
    (package,) = server.packages
    assert lent(server, python()) == [f"{package.name}>={package.oldest}"]
    assert lent(server, python(**{name: package.oldest})) == []


def test_only_what_is_lacking_is_lent() -> None:
    uvicorn = get_server("uvicorn")
    (adapter,) = [package for package in uvicorn.packages if package.name == "a2wsgi"]
    assert lent(uvicorn, python(uvicorn="9")) == [str(adapter)]


def test_what_the_lab_itself_uses_in_a_backend_is_lent_with_the_server() -> None:
    wanted = {text.partition(">=")[0] for text in lent(get_server("fastcgi"), python())}
    assert wanted == {"flup6", "filelock", "jinja2", "psutil"}
    assert lent(get_server("cgi"), python(filelock="4", jinja2="3.1", psutil="7")) == []


def test_what_can_be_lent_counts_as_there() -> None:
    for name in ("waitress", "gevent", "uvicorn", "hypercorn"):
        assert name in server_names()
        require_server(get_server(name), "linux", python=python())


def test_what_is_too_old_there_is_not_replaced() -> None:
    with pytest.raises(MissingComponent, match=r"waitress 1\.0 in /shop/venv is too old") as told:
        require_server(get_server("waitress"), "linux", python=python(waitress="1.0"))
    assert told.value.hint.startswith("/shop/venv/bin/python -m pip install ")


def test_names_are_compared_as_pip_does() -> None:
    assert python(zope_interface="8.6").version_of("zope.interface") == "8.6"
    assert python(flask="3.0").version_of("Flask") == "3.0"


def test_what_installs_is_the_labs_pip_else_that_pythons_else_uv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_pip = python(pip="22.3")
    assert "--python" in lending._installer(python(), "waitress")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert lending._installer(with_pip, "waitress")[0] == with_pip.command
    monkeypatch.setattr("shutil.which", lambda name: "/bin/uv")
    assert lending._installer(python(), "waitress")[:3] == ["/bin/uv", "pip", "install"]
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingComponent, match="has pip, and there is no uv"):
        lending._installer(python(), "waitress")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ERROR: No matching distribution found for greenlet>=3 (from gevent)", "greenlet>=3 "),
        ("cause: Because gevent was not found in the package registry and", "gevent could"),
        ("Failed to establish a new connection: refused\nERROR: No matching", "be reached"),
        ("error: Request failed\n  cause: Failed to fetch: http://index", "be reached"),
        ("WARNING: none\nERROR: No space left on device", "No space left on device"),
    ],
)
def test_what_cannot_be_lent_is_told_in_a_line(
    said: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], environment: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(lending, "run", run)
    with pytest.raises(MissingComponent, match=told) as raised:
        lending._install(python(), "gevent", ["gevent>=23.7"], tmp_path)
    assert "\n" not in raised.value.reason


def test_what_is_lent_and_what_is_there_must_fit(tmp_path: Path) -> None:
    folder = tmp_path / "gevent-23.7.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: gevent\nVersion: 23.7\n"
        "Requires-Dist: greenlet>=3.0; python_version < '3.11'\n"
        "Requires-Dist: idna>=99; extra == 'dns'\n"
    )
    distribution = PathDistribution(folder)

    def check(there: AppPython) -> None:
        lending._check_what_it_meets(there, "gevent", ["gevent>=23.7"], distribution)

    for there in (python(), python(greenlet="3.1", idna="3"), python(greenlet="3.2rc1")):
        check(there)
    with pytest.raises(
        MissingComponent,
        match=r"gevent 23\.7 needs greenlet>=3\.0, and /shop/venv has greenlet 1\.1",
    ):
        check(python(greenlet="1.1"))
