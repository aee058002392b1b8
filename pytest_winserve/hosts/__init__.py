"""The kinds of machine that a topology can run on, one file each.

A host file defines `open_host(argument)`, which returns an object of the `Host` protocol;
`argument` is what follows the colon in `--winserve-host=NAME:ARGUMENT`. It also defines `ready()`:
what this machine has for hosts of that kind; it raises MissingComponent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast, runtime_checkable

from pytest_winserve.deployment.contract import Deployment, Spec
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.registry import member, names


class Host(Protocol):
    """A machine that runs topologies. It costs nothing until it is used."""

    provision: bool
    """Whether this package is brought to the machine when it is opened and not there. Only what the
    user asks for leaves this machine."""

    @property
    def name(self) -> str:
        """As in the option: `local`."""

    def open(self) -> AbstractContextManager[None]:
        """Keeps the way to the machine open; without it, that is done for each deployment."""

    def deploy(self, spec: Spec) -> Deployment:
        """A deployment over there, not yet started. Raises what keeps it from being started."""

    def folder(self) -> str:
        """What the current folder is called over there."""

    def path(self) -> tuple[str, ...]:
        """The entries of Python's path on which the app is looked for over there."""

    def require(self, server: str) -> None:
        """Raise what keeps a server from running over there: MissingComponent or UsageError."""

    def about(self) -> dict[str, Any]:
        """The machine as in `results.json`; empty when it is this one, or was not used yet."""


@runtime_checkable
class TakesPython(Protocol):
    """A host on which another Python than the host's own can run the backends."""

    def use_python(self, path: str) -> None:
        """Have the Python of this path run the backends."""

    def lend(self, server: str) -> Mapping[str, str]:
        """Have ready what that Python lacks to run a server; the versions of what it is lent. May
        take minutes. Raises MissingComponent, and UsageError for a Python that cannot be."""


def require_host(host: Host) -> None:
    """Raise what keeps a host from being used with any server; `host.about` tells of it then."""
    host.require("command")  # it needs nothing


def why_missing(host: Host, server: str) -> str | None:
    """Why a server cannot run over there, or None."""
    try:
        host.require(server)
    except (MissingComponent, UsageError) as error:
        return str(error)
    return None


def host_names() -> list[str]:
    """The hosts of this version."""
    return list(names(__name__))


def open_host(text: str, *, provision: bool = False, python: str | None = None) -> Host:
    """The host that `NAME` or `NAME:ARGUMENT` names; UsageError when there is none.

    With `provision` this package is brought there when it is needed. `python` is the Python that
    runs the backends, where it is not the host's own.
    """
    name, _, argument = text.partition(":")
    module = member(__name__, "host", name, "open_host", given=text)
    host = cast(Host, module.open_host(argument))
    host.provision = provision
    if python is not None:
        if not isinstance(host, TakesPython):
            raise UsageError(
                f"--python={python}: the host {host.name} has a Python of its own, which runs the "
                "app there; --python is for the host local"
            )
        host.use_python(python)
    return host


def host_ready(name: str) -> str:
    """What this machine has for hosts of that kind. Raises MissingComponent."""
    return str(member(__name__, "host", name, "ready").ready())
