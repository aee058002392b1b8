"""The environment of a run: in results.json, and above its tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_winserve.deployment.this_machine import MISSING, front_versions, machine
from pytest_winserve.session.settings import Settings


def environment(settings: Settings, machines: Mapping[str, Any]) -> dict[str, Any]:
    """The `environment` of `results.json`; `machines` are the other ones, by host."""
    values = settings._asdict()
    values["given"] = sorted(settings.given)
    here = machine()
    fronts = front_versions(settings.nginx) if "local" in settings.host else {}
    return {
        **here,
        "versions": here["versions"] | fronts,
        "hosts": list(settings.host),
        "machines": dict(machines),
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()},
    }


def header(settings: Settings) -> list[str]:
    """What stands above a test run: the settings that count, and the versions that serve."""
    served = f"topology {', '.join(settings.topology)}; host {', '.join(settings.host)}"
    lines = [f"winserve: {served}; app {settings.app}"]
    if "local" in settings.host:
        found = front_versions(settings.nginx).items()
        lines += [
            f"winserve: {name} {what}"
            for name, what in found
            if not what.startswith(MISSING) or any(t.startswith(name) for t in settings.topology)
        ]
    if settings.require:
        lines.append(f"winserve: require {'; '.join(settings.require)}")
    return lines
