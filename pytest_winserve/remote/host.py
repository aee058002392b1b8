"""Hosts that are another machine, reached through an execnet gateway to a Python over there.

What differs from one kind of such machine to the next is its `Machine`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_winserve.deployment.contract import Spec
from pytest_winserve.remote.deployment import RemoteDeployment
from pytest_winserve.remote.gateway import Gateway
from pytest_winserve.remote.machine import Machine, own_path


class RemoteHost:
    """A host behind a gateway, which is open while something uses it; see `Host`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._gateway = Gateway(machine)

    @property
    def name(self) -> str:
        return self._machine.name

    @property
    def provision(self) -> bool:
        return self._gateway.provision

    @provision.setter
    def provision(self, wanted: bool) -> None:
        self._gateway.provision = wanted

    @contextmanager
    def open(self) -> Iterator[None]:
        self._gateway.enter()
        try:
            yield
        finally:
            self._gateway.leave()

    def deploy(self, spec: Spec) -> RemoteDeployment:
        return RemoteDeployment(self._gateway, replace(spec, listen=self._machine.listen))

    def folder(self) -> str:
        return self._machine.translate(Path.cwd()) or ""

    def path(self) -> tuple[str, ...]:
        found = map(self._machine.translate, own_path())
        return tuple(entry for entry in found if entry is not None)

    def require(self, server: str) -> None:
        with self.open(), closing(self._gateway.link()) as link:
            link("require", server)

    def about(self) -> dict[str, Any]:
        return self._gateway.about()
