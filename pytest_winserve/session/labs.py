"""The lab that the settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_winserve.lab.lab import Lab
from pytest_winserve.lab.observer import Live, ShownOn
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.run_headers import run_headers
from pytest_winserve.session.settings import Settings


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
        load_from=settings.load_from,
        nginx=settings.nginx,
        engine=settings.engine,
        start_timeout=settings.start_timeout,
        headers=headers_of(settings),
        require=settings.require if require is None else require,
        allow_limited=settings.limited == "allow",
        **shown,
    )
