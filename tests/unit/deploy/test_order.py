"""What is refused before anything is written, and the commands that servers say of themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_winserve.deploy.order import (
    check_environment_files,
    check_folder,
    check_name,
    check_topology,
)
from pytest_winserve.errors import UsageError
from pytest_winserve.servers import CODE, Deployable, Place, get_server, server_names
from pytest_winserve.topology import Topology


@pytest.mark.parametrize(
    ("topology", "services", "said"),
    [
        ("gunicorn", "files", "cannot be deployed on Windows: it needs fork"),
        ("cgi", "files", "what can be: cheroot, flask, gevent, granian"),
        ("flask", "files", "--even-development"),
        ("waitress", "systemd", "--services=systemd: one of files, iis, nssm, winsw is needed"),
    ],
)
def test_what_cannot_be_deployed(topology: str, services: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_topology(Topology.parse(topology), services, even_development=False)


@pytest.mark.parametrize("name", ["", "1shop", "my shop", "a&b", "50%", "büro", "a" * 61])
def test_a_name_that_is_no_service_name(name: str) -> None:
    with pytest.raises(UsageError, match="as in: --name shop"):
        check_name(name)


def test_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"it is not empty \(mine.txt\)"):
        check_folder(tmp_path, renew=True)


def test_an_older_deployment_is_written_over_only_when_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text("# What is deployed here. After a change: ...\n", "utf-8")
    with pytest.raises(UsageError, match=r"older deployment.*give --renew.*or name a new folder"):
        check_folder(tmp_path, renew=False)
    check_folder(tmp_path, renew=True)


def test_an_environment_file_that_is_missing_or_cannot_be_read(tmp_path: Path) -> None:
    for file in (tmp_path / "none.env", tmp_path):
        with pytest.raises(UsageError, match=f"^--env-file {re.escape(str(file))}: "):
            check_environment_files((file,))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "site"
    file.write_text("x")
    with pytest.raises(UsageError, match="it is a file; name a folder"):
        check_folder(file, renew=False)


@pytest.mark.parametrize(
    "name", [n for n in server_names() if isinstance(get_server(n), Deployable)]
)
def test_code_of_a_server_is_python_and_imports_the_app(name: str) -> None:
    topology = Topology.parse("cheroot:keep_alive_conn_limit=99" if name == "cheroot" else name)
    server = get_server(name)
    assert isinstance(server, Deployable)
    place = Place("shop:app", "127.0.0.1", "8081", topology.server_options)
    production = server.production(place)
    if production.code:
        text = production.code.replace("{imports}", "from shop import app")
        compile(text, CODE, "exec")
        assert any(CODE in argument for argument in production.arguments)
    else:
        assert production.arguments[0] == "-m"
        assert any("shop:app" in argument for argument in production.arguments)
    assert any("8081" in argument for argument in production.arguments)


def test_waitress_believes_its_front() -> None:
    server = get_server("waitress")
    assert isinstance(server, Deployable)
    options = Topology.parse("waitress:threads=8").server_options
    assert server.production(Place("shop:app", "127.0.0.1", "1", options)).arguments == (
        "-m", "waitress", "--listen=127.0.0.1:1", "--threads=8", "--connection-limit=100",
        "--clear-untrusted-proxy-headers", "shop:app",
    )  # fmt: skip
    behind = server.production(Place("shop:app", "127.0.0.1", "1", options, "127.0.0.1")).arguments
    assert "--trusted-proxy=127.0.0.1" in behind
