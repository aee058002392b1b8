"""The Python of an app's environment: what is none is told as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.servers import get_server, lent, require_server, server_names
from pytest_winserve.shipping.app_python import AppPython, look_at


def python(**installed: str) -> AppPython:
    versions = {name.replace("_", "-"): version for name, version in installed.items()}
    return AppPython("/shop/venv/bin/python", "3.10.1", "/shop/venv", ("cpython-310",), versions)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no .*/nowhere; name the Python"):
        look_at(str(tmp_path / "nowhere"))


def test_a_folder_that_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no virtual environment: there is no .*python"):
        look_at(str(tmp_path))


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
