"""What is asked once: is there a Windows under Wine, an image on a Docker engine?"""

from __future__ import annotations

import sys

import pytest

from pytest_winserve.docker.engine import lab_image
from pytest_winserve.errors import MissingComponent
from pytest_winserve.hosts import host_ready
from pytest_winserve.hosts.wine.layout import Layout, default_layout


@pytest.fixture(scope="session")
def wine() -> Layout:
    """The user's environment, with the package under test in it."""
    if sys.platform == "win32":
        pytest.skip("platform: this is Windows itself")
    try:
        host_ready("wine")
    except MissingComponent as missing:
        pytest.skip(str(missing))
    return default_layout()


@pytest.fixture(scope="session")
def engine() -> str:
    """The lab image of the package under test, on an engine that answers."""
    try:
        host_ready("container")
    except MissingComponent as missing:
        pytest.skip(str(missing))
    return lab_image()
