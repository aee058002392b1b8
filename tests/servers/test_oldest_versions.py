"""Each server runs in the oldest version that is declared, and so does the app's Flask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_winserve import Lab
from pytest_winserve.options import defaults
from pytest_winserve.servers import Package, get_server, server_names
from tests.kit.components import needs
from tests.kit.environments import make_environment, oldest_python

pytestmark = needs("minutes")

WITH_FLASK = ("flask==2.0.3", "werkzeug==2.0.3")
"""The sample app runs on it, which is older than what most servers of that day are."""


def packages_of(name: str) -> tuple[Package, ...]:
    return tuple(package for package in get_server(name).packages if not package.optional)


@pytest.mark.parametrize("name", [name for name in server_names() if packages_of(name)])
def test_a_server_runs_in_its_oldest_version(name: str, tmp_path: Path) -> None:
    reason = get_server(name).unsupported(sys.platform, defaults(get_server(name).options, {}))
    if reason:
        pytest.skip(f"platform: {reason}")
    oldest = {package.name: f"{package.name}=={package.oldest}" for package in packages_of(name)}
    flask = WITH_FLASK if "flask" not in oldest else (oldest.pop("flask"), "werkzeug==2.0.0")
    python = make_environment(tmp_path / "venv", python=oldest_python())
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--only-binary=:all:",
         *flask, *oldest.values()],
        check=True, capture_output=True,
    )  # fmt: skip
    with Lab(python=str(python)).serve(name) as site:
        assert site.get("/test").ok
        site.probe()
        assert site.capacity(limit=2).value >= 1
        site.load(users=4, count=200).require("error_rate == 0%", "unaccounted == 0")
    assert not {package.name for package in packages_of(name)} & set(site.machine.get("lent", {}))
