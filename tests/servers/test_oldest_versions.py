"""Each server runs in the oldest version that is declared, and so does the app's Flask."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from pytest_winserve import Lab
from pytest_winserve.options import defaults
from pytest_winserve.servers import Package, get_server, server_names
from pytest_winserve.shipping.app_python import look_at
from tests.kit.components import needs
from tests.kit.environments import make_environment, oldest_python

pytestmark = needs("minutes")

WITH_FLASK = {"flask": "2.0.3", "werkzeug": "2.0.3"}
"""The sample app runs on it, which is older than what most servers of that day are."""


def packages_of(name: str) -> tuple[Package, ...]:
    return tuple(package for package in get_server(name).packages if not package.optional)


def install(python: Path, wanted: dict[str, str]) -> None:
    """Have these versions; where a Python came after one, so that PyPI has no wheel of it for that,
    the oldest one that it has."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--only-binary=:all:",
         *(f"{name}=={version}" for name, version in wanted.items())],
        check=False, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    lacks = re.search(r"the requirement (\S+)==(\S+) \(from versions: (.+)\)", done.stderr)
    if lacks is None or Version(look_at(str(python)).version) < Version("3.12"):
        assert done.returncode == 0, done.stderr
        return
    name, oldest, there = lacks.groups()
    later = [version for version in map(Version, there.split(", ")) if version > Version(oldest)]
    install(python, wanted | {name: str(min(later))})


@pytest.mark.parametrize("name", [name for name in server_names() if packages_of(name)])
def test_a_server_runs_in_its_oldest_version(name: str, tmp_path: Path) -> None:
    reason = get_server(name).unsupported(sys.platform, defaults(get_server(name).options, {}))
    if reason:
        pytest.skip(f"platform: {reason}")
    oldest = {package.name: package.oldest for package in packages_of(name)}
    werkzeug = {"werkzeug": "2.0.0"} if "flask" in oldest else WITH_FLASK
    python = make_environment(tmp_path / "venv", python=oldest_python())
    install(python, oldest | werkzeug)
    with Lab(python=str(python)).serve(name) as site:
        assert site.get("/test").ok
        site.probe()
        assert site.capacity(limit=2).value >= 1
        site.load(users=4, count=200).require("error_rate == 0%", "unaccounted == 0")
    assert not {package.name for package in packages_of(name)} & set(site.machine.get("lent", {}))
