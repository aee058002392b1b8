"""What a test needs beyond `pip install` and a few minutes, declared once: `@needs("tsung")`.

The need is the test's mark, too, and every such test has the mark `component`. README's test
command leaves these out. Its next line runs them: `-m component`, or one kind of them, `-m wine`.
A test that is named on the command line, `FILE::TEST`, runs whatever it needs.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

import pytest

from pytest_winserve.system.packages import is_installed
from tests.kit.chromium import found as browser
from tests.kit.machines import missing_for_machines
from tests.kit.platforms import WINE


def needs(*components: str) -> pytest.MarkDecorator:
    """A test that needs these; it is skipped, with the reason, where one is not here."""
    unknown = set(components) - set(COMPONENTS)
    assert not unknown, f"{unknown}: not in COMPONENTS"
    return pytest.mark.needs(*components)


def _apache() -> str:
    if sys.platform == "win32":
        return "platform: no Apache for Windows could be had to try this with"
    places = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    if any(shutil.which(name, path=places) for name in ("apache2", "httpd")):
        return ""
    return "Apache is not installed: sudo apt-get install apache2"


def _chromium() -> str:
    if sys.platform == "win32":
        return "platform: Chromium is driven by descriptors that it inherits, as on POSIX"
    return "" if browser() else "Chromium is not installed: sudo apt-get install chromium"


def _locust() -> str:
    if WINE:
        return "platform: Locust was not tried under Wine"
    if shutil.which("locust") or is_installed("locust"):
        return ""
    return "Locust is not installed: pipx install locust"


def _tsung() -> str:
    if sys.platform == "win32":
        return "platform: there is no tsung for Windows"
    return "" if shutil.which("tsung") else "tsung is not installed: sudo apt-get install tsung"


def _ssh() -> str:
    if sys.platform == "win32":
        return "platform: an sshd of one's own is for POSIX systems"
    places = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"
    if shutil.which("sshd", path=places) and shutil.which("ssh"):
        return ""
    return "OpenSSH is not installed: sudo apt-get install openssh-server"


def _vagrant() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "platform: it may be that there is no Vagrant for this system, or not for this user"
    return (
        "" if shutil.which("vagrant") else "Vagrant is not installed: sudo apt-get install vagrant"
    )


def _nothing() -> str:
    """It is there: of time everybody has enough who asks for it."""
    return ""


def _asked_later() -> str:
    """Whether it is here is told by the fixture that makes it ready."""
    return ""


COMPONENTS: Mapping[str, Callable[[], str]] = {
    "apache": _apache,
    "chromium": _chromium,
    "container": _asked_later,
    "locust": _locust,
    "minutes": _nothing,
    "netns": missing_for_machines,
    "ssh": _ssh,
    "tsung": _tsung,
    "vagrant": _vagrant,
    "wine": _asked_later,
}
"""By name: why it is not here, or an empty text."""


LEFT_OUT = "not component"
"""What `-m` is when nobody gives it; see pyproject.toml."""


def all_are_named(arguments: Sequence[str]) -> bool:
    """Whether the command line names single tests, and nothing else."""
    return bool(arguments) and all("::" in argument for argument in arguments)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == LEFT_OUT and all_are_named(config.args):
        config.option.markexpr = ""
    config.addinivalue_line(
        "markers", "component: needs more than `pip install` brings, or minutes"
    )
    config.addinivalue_line("markers", "needs(*components): what it needs; see tests/kit")
    for name in COMPONENTS:
        config.addinivalue_line("markers", f"{name}: needs the component {name}")


def needed_by(item: pytest.Item) -> set[str]:
    """The components that a test needs."""
    return {name for marker in item.iter_markers("needs") for name in marker.args}


def pytest_itemcollected(item: pytest.Item) -> None:
    for name in sorted(needed_by(item)):
        item.add_marker(name)
        item.add_marker("component")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in sorted(needed_by(item)):
        reason = COMPONENTS[name]()
        if reason:
            pytest.skip(reason)
