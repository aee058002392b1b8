"""What this machine can run, and what would mend what it cannot."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pytest_winserve.deployment.this_machine import version_of
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.fronts import front_names, get_front
from pytest_winserve.hosts import Host, host_names, host_ready, require_host
from pytest_winserve.load.engines import engine_names, get_engine
from pytest_winserve.load.engines.builtin.event_loops import FAST_LOOP
from pytest_winserve.servers import Server, get_server, require_server, server_names
from pytest_winserve.session.labs import LOCAL, host_of, other_python
from pytest_winserve.session.settings import Settings
from pytest_winserve.version import __version__


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
    python = other_python(settings, host)
    if python is not None:
        where = f"{python.version} in {python.prefix} runs the app"
        yield Finding("app's Python", "ready", where)
    if host == LOCAL and python is None:
        yield from map(_server, server_names())
    else:
        yield from _servers_of(host_of(settings, host))
    for name in front_names():
        yield _part(name, "", "", partial(_found, name, settings.nginx))
    for name in host_names():
        yield _part(name, "host: ", "host: ", partial(host_ready, name))
    for name in engine_names():
        yield _part(name, "load engine, ", "load engine: ", get_engine(name).ready)
    if FAST_LOOP is not None:
        yield _package("fast", FAST_LOOP, f"{FAST_LOOP} for a faster builtin engine")
    yield _package("xdist", "pytest-xdist", "pytest -n 2")
    yield _package("hdr", "hdrhistogram", "histograms for other tools")


def _servers_of(host: Host) -> Iterator[Finding]:
    """The servers over there, with their versions. Raises what keeps the host from being used."""
    with host.open():
        require_host(host)
        for name in server_names():
            yield _part(name, "", f"{name}: ", partial(_served, host, name))


def _served(host: Host, name: str) -> str:
    """A server over there with its version; raises what keeps it from running."""
    server = get_server(name)
    host.require(name)
    versions = host.about()["versions"]
    lent = [p.name for p in server.packages if not p.optional and p.name not in versions]
    told = _with_versions(server, versions.get)
    return f"{told} (lent when it serves: {', '.join(lent)})" if lent else told


def _found(front: str, which: str) -> str:
    return str(get_front(front).find(which))


def _part(name: str, ready: str, missing: str, look: Callable[[], str]) -> Finding:
    """What `look` tells of a part, or what it raises; each after its words."""
    try:
        return Finding(name, "ready", f"{ready}{look()}")
    except MissingComponent as error:
        return Finding(name, "missing", f"{missing}{error.reason}", error.hint)
    except UsageError as error:
        return Finding(name, "never", str(error))


def _server(name: str) -> Finding:
    return _part(name, "", "", partial(_ready, name))


def _ready(name: str) -> str:
    """A server of this machine with its versions; raises what keeps it from running."""
    server = get_server(name)
    require_server(server, sys.platform)
    return _with_versions(server, version_of)


def _with_versions(server: Server, version_of: Callable[[str], str | None]) -> str:
    found = [(package.name, version_of(package.name)) for package in server.packages]
    versions = [
        version
        if len(found) == 1 and name.lower() in server.summary.lower()
        else f"{name} {version}"
        for name, version in found
        if version
    ]
    return ", ".join([server.summary, *versions])


def _package(extra: str, distribution: str, use: str) -> Finding:
    version = version_of(distribution)
    if version is None:
        return Finding(extra, "missing", use, _pip(extra))
    return Finding(extra, "ready", f"{version}: {use}")


def _pip(extra: str) -> str:
    return f'python -m pip install "pytest-winserve[{extra}]"'
