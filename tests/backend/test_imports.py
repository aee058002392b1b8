"""A backend is the app and its server: next to nothing of this package is in its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_winserve import Lab

APP = """
import sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(sys.modules).encode()]
"""

NEEDED = {
    "pytest_winserve",
    "pytest_winserve.backend",
    "pytest_winserve.backend.app_names",
    "pytest_winserve.backend.apps",
    "pytest_winserve.backend.counters",
    "pytest_winserve.backend.databases",
    "pytest_winserve.backend.instrument",
    "pytest_winserve.backend.job",
    "pytest_winserve.backend.not_run",
    "pytest_winserve.backend.routes",
    "pytest_winserve.backend.noted",
    "pytest_winserve.backend.standard_streams",
    "pytest_winserve.backend.state_teller",
    "pytest_winserve.backend.wrapped",
    "pytest_winserve.errors",
    "pytest_winserve.options",
    "pytest_winserve.registry",
    "pytest_winserve.servers",
    "pytest_winserve.system",
    *({"pytest_winserve.system.listeners"} if sys.platform == "linux" else ()),
    "pytest_winserve.system.locks",
    "pytest_winserve.system.ports",
    "pytest_winserve.system.windows",
    "pytest_winserve.tags",
}


@pytest.mark.parametrize("server", ["flask", "waitress"])
def test_a_backend_imports_what_it_needs(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tell.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    with Lab().serve(server, "tell:app", slow="/", fast="/") as site:
        modules = site.get("/").text.splitlines()
    ours = {name for name in modules if name.partition(".")[0] == "pytest_winserve"}
    assert ours == NEEDED | {f"pytest_winserve.servers.{server}"}
    others = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    assert others & {"pytest", "requests", "psutil", "filelock", "jinja2", "execnet"} == set()
