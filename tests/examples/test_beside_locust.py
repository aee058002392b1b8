"""The plugin in an environment that has Locust, whose own plugin is then active, too."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pytest_winserve.load.engines.locust.crew import find_locust
from tests.kit.components import needs

pytestmark = needs("locust")

TESTS = """
import sys

def test_a_load_by_the_locust_of_this_environment(winserve, pytestconfig):
    assert pytestconfig.pluginmanager.has_plugin("locust")
    result = winserve.load(users=4, count=40, engine="locust")
    assert result.outcomes == {"200": 40}
    assert result.ledger.unaccounted == 0
    assert "gevent" not in sys.modules

def test_options_of_both(pytestconfig):
    assert pytestconfig.getoption("--host") == "http://127.0.0.1:9"
    assert pytestconfig.getoption("--winserve-host") == ["local"]

def test_a_fixture_of_locust(fastsession):
    assert fastsession.base_url == "http://127.0.0.1:9"
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with all that this one has, and Locust with all that it needs."""
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    windows = sys.platform == "win32"
    made = folder / ("Scripts/python.exe" if windows else "bin/python")
    asked = subprocess.run(
        [*find_locust(), "--version"], capture_output=True, text=True, check=True
    )
    # `locust 2.47.0 from /.../site-packages/locust (Python 3.11.7)`
    locust = Path(asked.stdout.partition(" from ")[2].rpartition(" (Python")[0]).parent
    paths = [locust, Path(sysconfig.get_path("purelib")), Path(__file__).parents[2]]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / ("Lib" if windows else f"lib/{version}") / "site-packages"
    (site / "both.pth").write_text("\n".join(map(str, paths)))
    return made


def test_both_plugins_in_one_run(python: Path, tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(TESTS)
    done = subprocess.run(
        [
            # pytest-rerunfailures has a thread that listens, which gevent's patches do not bear.
            str(python), "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:rerunfailures",
            "-p", "no:flaky", "-p", "no:pytest-retry", "-H", "http://127.0.0.1:9",
            "--winserve-host=local", "--winserve-topology=nginx1-waitress", "test_both.py",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
