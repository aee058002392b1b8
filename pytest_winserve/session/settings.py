"""The settings of a run: every row of the table of settings with its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.settings import SETTINGS


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value, and which were given anywhere."""

    topology: tuple[str, ...]
    host: tuple[str, ...]
    provision: bool
    load_from: str
    app: str
    chdir: str | None
    env: tuple[str, ...]
    env_file: tuple[str, ...]
    python: str | None
    command: str | None
    start_timeout: float
    start: str
    engine: str
    users: int
    duration: float
    method: str | None
    data: str | None
    json: str | None
    requests: str | None
    journey: str | None
    as_: str | None
    think: float
    warmup: float
    timeout: float
    stages: tuple[str, ...]
    slow: str | None
    hold: float
    fast: str | None
    header: tuple[str, ...]
    cookie: tuple[str, ...]
    auth: str | None
    host_header: str | None
    ca: str | None
    insecure: bool
    require: tuple[str, ...]
    limited: str
    report: str | None
    live_server: bool
    nginx: str
    given: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the app: what `env` and `env_file` say; see `with_app`."""
    why_app: str = ""
    """How the app was found, where none is named; see `with_app`."""


def resolve(command_line: Mapping[str, Any], ini: Callable[[str], Any]) -> Settings:
    """The settings, each from where it was given (see `Setting.found`), else its default. Raises
    UsageError."""
    values: dict[str, Any] = {}
    given = set()
    for setting in SETTINGS:
        values[setting.name] = setting.default
        found = setting.found(command_line, ini)
        if found is not None:
            source, value = found
            values[setting.name] = setting.read(value, source)
            given.add(setting.name)
    return Settings(**values, given=frozenset(given))
