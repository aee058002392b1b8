"""The wheel that is tested: the one that `--wheel` names, as in a release; else one built here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.pages import ROOT


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wheel", type=Path, metavar="FILE", help="test this wheel; without it one is built"
    )


@pytest.fixture(scope="session")
def wheel(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    given: Path | None = pytestconfig.getoption("--wheel")
    if given is not None:
        return given
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built
