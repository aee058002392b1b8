"""The lab and the hosts that the settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.errors import UsageError
from pytest_winserve.hosts import Host, open_host
from pytest_winserve.lab.lab import Lab
from pytest_winserve.lab.observer import Live, ShownOn
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.run_headers import run_headers
from pytest_winserve.session.settings import Settings

if TYPE_CHECKING:
    from pytest_winserve.shipping.app_python import AppPython

LOCAL = "local"


def headers_of(settings: Settings) -> dict[str, str]:
    """The headers that every request of the run carries, by the settings. Raises UsageError."""
    return run_headers(settings.header, settings.cookie, settings.auth, settings.host_header)


def lab_of(
    settings: Settings,
    host: str,
    require: Sequence[Criterion | str] | None = None,
    live: Live | None = None,
) -> Lab:
    """The lab on a host, with the settings. It applies their criteria to every measurement, or
    those of `require` if given, and shows on `live` what takes long. Raises what `Lab` raises."""
    shown: dict[str, Any] = {} if live is None else {"observer": ShownOn(live)}
    return Lab(
        host,
        provision=settings.provision,
        python=python_of(settings, host),
        load_from=settings.load_from,
        nginx=settings.nginx,
        engine=settings.engine,
        start_timeout=settings.start_timeout,
        hold=settings.hold,
        chdir=settings.chdir or "",
        environment=settings.environment,
        start=settings.start,
        headers=headers_of(settings),
        require=settings.require if require is None else require,
        allow_limited=settings.limited == "allow",
        **shown,
    )


def host_of(settings: Settings, host: str) -> Host:
    """The host, with the settings. Raises UsageError."""
    return open_host(host, provision=settings.provision, python=python_of(settings, host))


def python_of(settings: Settings, host: str) -> str | None:
    """The path of the Python that is to run the app: the setting, or on this machine that of an
    active virtual environment, unless the lab itself runs in that. The sample app is the lab's."""
    from pytest_winserve.shipping.app_python import active_environment

    if settings.python is None and host == LOCAL and settings.app != SAMPLE_APP:
        return active_environment()
    return settings.python


def other_python(settings: Settings, host: str) -> AppPython | None:
    """The Python that runs the app on a host, where the settings make it another than the host's
    own. Raises UsageError when it cannot be."""
    from pytest_winserve.shipping.app_python import look_at

    path = python_of(settings, host)
    if path is None:
        return None
    try:
        python = look_at(path)
    except UsageError as error:
        if settings.python is None:
            raise UsageError(
                f"the active virtual environment (VIRTUAL_ENV={path}) cannot run the app: {error}; "
                "deactivate it, or name another Python by --python"
            ) from None
        raise UsageError(f"--python={settings.python}: {error}") from None
    return None if python.is_own else python
