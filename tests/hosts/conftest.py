"""What is asked once: is there a Windows under Wine, an image on a Docker engine?"""

from __future__ import annotations

import sys

import pytest

from pytest_winserve.docker.engine import lab_image
from pytest_winserve.errors import MissingComponent, WinserveError
from pytest_winserve.hosts import host_ready
from pytest_winserve.hosts.wine.layout import SETUP, Layout, default_layout, find_wine
from pytest_winserve.hosts.wine.setup import wine_version


@pytest.fixture(scope="session")
def wine() -> Layout:
    """The user's environment; that its parts are whole and of this version is not known yet."""
    if sys.platform == "win32":
        pytest.skip("platform: this is Windows itself")
    try:
        host_ready("wine")
        wine_version(find_wine())
    except (WinserveError, OSError) as wrong:
        mend = "" if "to get it: " in str(wrong) else f"\n  to get it: {SETUP}"
        pytest.skip(f"{wrong}{mend}")
    return default_layout()


@pytest.fixture(scope="session")
def engine() -> str:
    """The lab image of the package under test, on an engine that answers."""
    try:
        host_ready("container")
    except MissingComponent as missing:
        pytest.skip(str(missing))
    return lab_image()
