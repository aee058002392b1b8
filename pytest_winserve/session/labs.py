"""The lab that the settings describe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_winserve.lab.lab import Lab
from pytest_winserve.lab.observer import Live, ShownOn
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.session.settings import Settings


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
        hold=settings.hold,
        chdir=settings.chdir or "",
        environment=settings.environment,
        start=settings.start,
        require=settings.require if require is None else require,
        allow_limited=settings.limited == "allow",
        **shown,
    )
