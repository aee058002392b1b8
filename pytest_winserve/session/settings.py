"""The settings of a run: every row of the table of settings with its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.settings import SETTINGS, Setting
from pytest_winserve.tags import SHORTEST_HOLD


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
            values[setting.name] = read(setting, value, source)
            given.add(setting.name)
    return Settings(**values, given=frozenset(given))


def read(setting: Setting, given: object, source: str) -> Any:
    """The value of what was given as a text, or as several. UsageError names the source."""
    texts = [str(each) for each in given] if isinstance(given, list | tuple) else [str(given)]
    if setting.many == "no":
        # An empty path or report folder would quietly mean something else.
        if not texts[-1].strip():
            raise UsageError(f"{source}: {setting.metavar} is empty")
        try:
            return _value(setting, texts[-1])
        except ValueError as error:
            raise UsageError(f"{source}: {error}") from None
    parts: list[str] = []
    for text in texts:
        if setting.many == "lines":
            text = text.replace(";", "\n")
        parts += text.split("," if setting.many == "commas" else "\n")
    values = tuple(part.strip() for part in parts if part.strip())
    if not values:
        raise UsageError(f"{source}: {setting.metavar} is empty")
    return values


def _value(setting: Setting, text: str) -> Any:
    """What one text stands for. Raises ValueError."""
    if isinstance(setting.kind, tuple):
        if text not in setting.kind:
            raise ValueError(f"{setting.name}={text}: {' or '.join(setting.kind)} is needed")
        return text
    return _VALUES[setting.kind](setting.name, text)


def _text(name: str, text: str) -> str:
    return text


def _count(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{name}={text}: a whole number of at least 1 is needed")
    return int(text)


def seconds_of(name: str, text: str) -> float:
    """A time that was given as a text. Raises ValueError unless it is greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={text}: a number of seconds greater than 0 is needed")
    return value


def _pause(name: str, text: str) -> float:
    return 0.0 if text.strip() in {"0", "0.0"} else seconds_of(name, text)


def _hold(name: str, text: str) -> float:
    value = seconds_of(name, text)
    if value < SHORTEST_HOLD:
        raise ValueError(f"{name}={text}: at least {SHORTEST_HOLD} seconds are needed")
    return value


def _truth(name: str, text: str) -> bool:
    if text.strip().lower() not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ValueError(f"{text!r}: true or false is needed")
    return text.strip().lower() in {"true", "1", "yes", "on"}


_VALUES: Mapping[str, Callable[[str, str], Any]] = {
    "text": _text, "count": _count, "seconds": seconds_of, "pause": _pause, "hold": _hold,
    "truth": _truth,
}  # fmt: skip
