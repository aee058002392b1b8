"""What this machine can run, and what would mend what it cannot."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_winserve import __version__
from pytest_winserve.environment import version_of
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.fronts import front_names, get_front
from pytest_winserve.hosts import Host, host_names, open_host
from pytest_winserve.load.engines import engine_names, get_engine
from pytest_winserve.load.fast import FAST_LOOP
from pytest_winserve.servers import get_server, require_server, server_names
from pytest_winserve.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: `state` is ready, missing or never; `mend` is the one line that gets it."""

    name: str
    state: str
    detail: str
    mend: str = ""


def findings(settings: Settings) -> Iterator[Finding]:
    """The lab itself, then each server of the host, and the fronts, hosts, engines and helpers of
    this machine."""
    yield Finding(
        "winserve", "ready",
        f"{__version__} on Python {platform.python_version()}, {platform.system()}",
    )  # fmt: skip
    (host,) = settings.host
    if host == "local":
        yield from map(_server, server_names())
    else:
        yield from _servers_of(open_host(host))
    for name in front_names():
        try:
            yield Finding(name, "ready", str(get_front(name).find(settings.nginx)))
        except MissingComponent as error:
            yield Finding(name, "missing", error.reason, error.hint)
    for name in host_names():
        try:
            yield Finding(name, "ready", f"host: {open_host(name).ready()}")
        except MissingComponent as error:
            yield Finding(name, "missing", f"host: {error.reason}", error.hint)
        except UsageError as error:
            yield Finding(name, "never", str(error))
    for name in engine_names():
        try:
            yield Finding(name, "ready", f"load engine, {get_engine(name).ready()}")
        except MissingComponent as error:
            yield Finding(name, "missing", f"load engine: {error.reason}", error.hint)
        except UsageError as error:
            yield Finding(name, "never", str(error))
    if FAST_LOOP is not None:
        yield _package("fast", FAST_LOOP, f"{FAST_LOOP} for a faster builtin engine")
    yield _package("xdist", "pytest-xdist", "pytest -n 2")


def _servers_of(host: Host) -> Iterator[Finding]:
    """The servers over there, with their versions."""
    with host.open():
        for name in server_names():
            why = host.missing(name)
            version = host.about()["versions"].get(get_server(name).distribution, "")
            summary = f"{get_server(name).summary}{f', {version}' if version else ''}"
            reason, _, mend = (why or summary).partition("\n  to get it: ")
            state = "ready" if why is None else "missing" if mend else "never"
            yield Finding(name, state, reason, mend)


def _server(name: str) -> Finding:
    server = get_server(name)
    try:
        require_server(server, sys.platform)
    except MissingComponent as error:
        return Finding(name, "missing", server.summary, error.hint)
    except UsageError as error:
        return Finding(name, "never", str(error))
    version = version_of(server.distribution) if server.distribution else None
    return Finding(name, "ready", f"{server.summary}{f', {version}' if version else ''}")


def _package(extra: str, distribution: str, use: str) -> Finding:
    version = version_of(distribution)
    if version is None:
        return Finding(extra, "missing", use, _pip(extra))
    return Finding(extra, "ready", f"{version}: {use}")


def _pip(extra: str) -> str:
    return f'python -m pip install "pytest-winserve[{extra}]"'
