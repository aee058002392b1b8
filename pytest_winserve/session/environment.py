"""The environment of a run: in results.json, and above its tests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_winserve.session.settings import Settings
from pytest_winserve.settings import SETTINGS

if TYPE_CHECKING:
    from pytest_winserve.shipping.app_python import AppPython


class RunEnvironment:
    """The settings of one run, and what serves here. The fronts are asked once in a run: each
    tells its version only by being started."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def fronts(self) -> Mapping[str, str]:
        """Each front of this machine with its version, or why there is none."""
        from pytest_winserve.deployment.this_machine import front_versions

        return front_versions(self.settings.nginx)

    @cached_property
    def python(self) -> AppPython | None:
        """The Python that runs the app on this machine, where it is not the lab's own."""
        from pytest_winserve.session.labs import LOCAL, other_python

        return other_python(self.settings, LOCAL) if LOCAL in self.settings.host else None

    def _served_by(self, told: Mapping[str, Any] | None) -> dict[str, Any]:
        """What is told of the app's Python on this machine, also where no site came up."""
        from pytest_winserve.session.labs import LOCAL, host_of

        if told is not None or self.python is None:
            return dict(told or {})
        return host_of(self.settings, LOCAL).about()

    def data(self, machines: Mapping[str, Any]) -> dict[str, Any]:
        """The `environment` of `results.json`; `machines` are the other ones, by host."""
        from pytest_winserve.deployment.this_machine import machine
        from pytest_winserve.load.request_parts import NOT_SHOWN
        from pytest_winserve.load.run_headers import shown

        settings = self.settings
        values = {setting.name: getattr(settings, setting.name) for setting in SETTINGS} | {
            "header": shown(settings.header, ":"),
            "cookie": shown(settings.cookie, "="),
            "auth": None if settings.auth is None else NOT_SHOWN,
        }
        values["given"] = sorted(settings.given)
        # Names only: secrets are in the values.
        values["env"] = sorted(settings.environment)
        others = dict(machines)
        # What serves here may be another Python than the lab's.
        here = machine() | self._served_by(others.pop("local", None))
        fronts = self.fronts if "local" in settings.host else {}
        return {
            **here,
            "versions": {**here["versions"], **fronts},
            "hosts": list(settings.host),
            "machines": others,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()},
        }

    def header(self) -> list[str]:
        """What stands above a test run: the settings that count, and the versions that serve."""
        from pytest_winserve.deployment.this_machine import MISSING
        from pytest_winserve.session.labs import headers_of

        settings = self.settings
        served = f"topology {', '.join(settings.topology)}; host {', '.join(settings.host)}"
        lines = [f"winserve: {served}; app {settings.app}"]
        if settings.why_app:
            lines.append(f"winserve: app: {settings.why_app}")
        if settings.live_server and "app" not in settings.given:
            lines.append(
                "winserve: base_url and live_server: the app of the suite's fixture `app`, if any"
            )
        if self.python is not None:
            given = "" if settings.python else ": the active virtual environment"
            lines.append(
                f"winserve: app's Python {self.python.version} ({self.python.prefix})" + given
            )
        if "local" in settings.host:
            lines += [
                f"winserve: {name} {version}"
                for name, version in self.fronts.items()
                if not version.startswith(MISSING)
                or any(topology.startswith(name) for topology in settings.topology)
            ]
        headers = headers_of(settings)
        if headers:
            lines.append(f"winserve: every request carries {', '.join(headers)} (values not shown)")
        if settings.require:
            lines.append(f"winserve: require {'; '.join(settings.require)}")
        return lines
