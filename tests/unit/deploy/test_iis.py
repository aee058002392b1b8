"""web.config, held against Microsoft's reference of HttpPlatformHandler; no IIS has read it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import pytest

from pytest_winserve.deploy.app import DeployedApp
from pytest_winserve.deploy.order import Order, get_services
from pytest_winserve.deploy.services.iis import web_config
from pytest_winserve.errors import UsageError
from pytest_winserve.servers import Deployable, Place, Production, get_server
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.topology import Topology

NUMBER, TRUTH = r"\d+", r"true|false"
ATTRIBUTES = {
    "processPath": r".+",
    "arguments": r".*",
    "startupTimeLimit": NUMBER,
    "startupRetryCount": NUMBER,
    "rapidFailsPerMinute": NUMBER,
    "requestTimeout": r"\d\d:\d\d:\d\d",
    "stdoutLogEnabled": TRUTH,
    "stdoutLogFile": r".+",
    "processesPerApplication": NUMBER,
    "forwardWindowsAuthToken": TRUTH,
}
"""Of the element httpPlatform, in "HttpPlatformHandler Configuration Reference"."""
HANDLER = {
    "name": "httpPlatformHandler", "path": "*", "verb": "*", "modules": "httpPlatformHandler",
    "resourceType": "Unspecified",
}  # fmt: skip
HOSTILE = r"""C:\Büro & Söhne's <new>; "a" -- ]]>"""


def order(topology: str, folder: str, python: str) -> Order:
    found = Order(
        Topology.parse(topology), DeployedApp(Path("app"), Path("app"), "shop:app"),
        Path("site"), "shop", "127.0.0.1", 8080, 8081, "iis",
        AppPython(python, "3.12.1", python, ("win32",), {}), (), "auto", "/", 12.5,
    )  # fmt: skip
    # As a path of Windows, wherever this runs.
    return replace(found, folder=PureWindowsPath(folder))  # type: ignore[arg-type]


def production(topology: str) -> Production:
    parsed = Topology.parse(topology)
    server = get_server(parsed.server)
    assert isinstance(server, Deployable)
    port = get_services("iis").gives_port
    return server.production(Place("shop:app", "127.0.0.1", port, parsed.server_options))


def read(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text.encode())
    assert (root.tag, [child.tag for child in root]) == ("configuration", ["system.webServer"])
    return root[0]


@pytest.mark.parametrize("folder", [r"C:\sites\shop", HOSTILE])
@pytest.mark.parametrize(
    ("topology", "processes"),
    [("waitress", "1"), ("nginx4-waitress:threads=8", "4"), ("tornado", "1"), ("uvicorn", "1")],
)
def test_web_config_is_what_the_reference_knows(folder: str, topology: str, processes: str) -> None:
    python = rf"{folder}\venv\python.exe"
    server = read(web_config(order(topology, folder, python), production(topology)))
    handlers, platform = server
    assert [each.attrib for each in handlers] == [HANDLER]
    assert platform.tag == "httpPlatform"
    for name, value in platform.attrib.items():
        assert re.fullmatch(ATTRIBUTES[name], value), name
    assert platform.attrib["processPath"] == python
    assert platform.attrib["processesPerApplication"] == processes
    assert platform.attrib["startupTimeLimit"] == "13"
    arguments = platform.attrib["arguments"]
    assert arguments.startswith(subprocess.list2cmdline([rf"{folder}\backend.py"]) + " ")
    assert arguments.count("%HTTP_PLATFORM_PORT%") == 1
    assert "127.0.0.1" in arguments
    assert arguments.count("%") == 2


@pytest.mark.parametrize(
    ("folder", "python", "said"),
    [
        (r"C:\100%\shop", r"C:\python.exe", "--to="),
        (r"C:\shop", r"C:\100%\python.exe", "--python="),
    ],
)
def test_a_path_with_a_percent_sign_is_refused(folder: str, python: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}.*name a path without %"):
        get_services("iis").check(order("waitress", folder, python))
