"""A run of pytest of our own. What the app's project says to pytest is about its own tests: its
options, conftest files and plugins have no part in this one.

Only what is said to this plugin counts, and where the app is imported from.
"""

from __future__ import annotations

import os
import pkgutil
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.plugin import RUN_KEY
from pytest_winserve.session.load_arguments import check_load
from pytest_winserve.session.pytest_run import usage_errors
from pytest_winserve.settings import SETTINGS

CHECKS = "pytest_winserve.checks"
INI = Path(__file__).parents[1] / "checks" / "pytest.ini"
OF_OTHERS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")
NO_PLUGINS = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"


def arguments(options: Sequence[str]) -> list[str]:
    """The command line for pytest, with these options of the plugin. Raises UsageError."""
    said = [word for text in ini_values(Path.cwd()) for word in ("-o", text)]
    return ["-c", str(INI), "-p", "pytest_winserve.plugin", *said, *options,
            "--pyargs", CHECKS]  # fmt: skip


def ini_values(folder: Path) -> Iterator[str]:
    """What the project's ini file says to this plugin, as `key=value`, and where it has Python look
    for modules. Raises UsageError."""
    # pytest's own search, so that both find the same. It is no part of what pytest promises.
    locate_config: Any = pkgutil.resolve_name("_pytest.config.findpaths:locate_config")
    try:
        _, ini, found, *_ = locate_config(folder, [folder])
    # pytest.fail() is how pytest refuses a section of an old name.
    except (pytest.UsageError, pytest.fail.Exception, OSError, UnicodeError) as error:
        raise UsageError(f"the ini file of the project cannot be read: {error}") from error
    if ini is None:
        return
    values: dict[str, Any] = {key: getattr(each, "value", each) for key, each in found.items()}
    known = {setting.key: setting for setting in SETTINGS}
    for key, value in values.items():
        if key == "pythonpath":
            paths = shlex.split(value) if isinstance(value, str) else value
            absolute = [shlex.quote((ini.parent / path).as_posix()) for path in paths]
            yield f"{key}={' '.join(absolute)}"
        elif key == "winserve_live_server":
            continue  # about the fixtures of the project's own tests
        elif key in known and isinstance(value, list):
            separator = {"commas": ",", "no": " "}.get(known[key].many, "\n")
            yield f"{key}={separator.join(map(str, value))}"
        elif key in known:
            yield f"{key}={value}"
        elif key.startswith("winserve_"):
            raise UsageError(f"{ini}: there is no key {key!r}; known: {', '.join(known)}")


class OwnEnvironment:
    """While pytest reads its options, it sees neither options nor plugins of others. The app gets
    the environment as it was: this is a plugin, too, that sets it back before anything starts."""

    def __init__(self) -> None:
        self._before = {name: os.environ.get(name) for name in (*OF_OTHERS, NO_PLUGINS)}

    def __enter__(self) -> OwnEnvironment:
        for name in OF_OTHERS:
            os.environ.pop(name, None)
        os.environ[NO_PLUGINS] = "1"
        return self

    def __exit__(self, *_: object) -> None:
        self._set_back()

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self) -> None:
        self._set_back()

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Refuse a load that cannot be, before anything starts."""
        settings = config.stash[RUN_KEY].settings
        with usage_errors():
            check_load(settings)

    def _set_back(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
