"""Journeys in a file (TOML): a `[[journey]]` for each, in it a `[[journey.step]]` for each step."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from pytest_winserve.errors import UsageError
from pytest_winserve.load.journeys.journey import Journey, StepError
from pytest_winserve.load.journeys.steps import Step, UnknownKeyError

_STEP_KEYS = tuple(each.name for each in fields(Step))
_JOURNEY_KEYS = ("name", "weight", "data", "rows", "step")
_EXAMPLE = "[[journey]]\nname = 'look'\n[[journey.step]]\nget = '/'"

Made = TypeVar("Made")


def read_journeys(name: str | Path) -> tuple[Journey, ...]:
    """The journeys of a file. UsageError says where it is wrong, and what would be right. Paths in
    it are relative to the file."""
    place = Path(name)
    try:
        text = place.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"journey: {name} cannot be read: {error}") from None
    return journeys_of(text, str(name), place.parent)


def journeys_of(text: str, name: str, folder: Path) -> tuple[Journey, ...]:
    """The journeys of a file's text; `name` is what messages call it."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}") from None
    lines = _Lines(name, text)
    tables = found.pop("journey", None)
    for key in found:
        raise UsageError(f"{lines.of(key=key)}: {UnknownKeyError(key, ('journey',))}")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise UsageError(f"{name}: there is no [[journey]] in it, such as\n{_EXAMPLE}")
    journeys = tuple(_journey(t, lines, number, folder) for number, t in enumerate(tables, 1))
    names = [journey.name for journey in journeys]
    for number, each in enumerate(names, 1):
        if each in names[: number - 1]:
            where = lines.of(number, key="name")
            raise UsageError(f"{where}: two journeys are called {each!r}: name them apart")
    return journeys


def _journey(table: Mapping[str, Any], lines: _Lines, number: int, folder: Path) -> Journey:
    for key in table:
        if key not in _JOURNEY_KEYS:
            raise UsageError(f"{lines.of(number, key=key)}: {UnknownKeyError(key, _JOURNEY_KEYS)}")
    here = lines.of(number)
    if "name" not in table:
        raise UsageError(f"{here}: this [[journey]] has no name, such as name = 'order'")
    tables = table.get("step")
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise UsageError(f"{here}: this journey has no [[journey.step]], such as\n{_EXAMPLE}")
    steps = [_step(each, lines, number, place, folder) for place, each in enumerate(tables, 1)]
    data = table.get("data")
    if data is not None and not isinstance(data, str):
        where = lines.of(number, key="data")
        raise UsageError(f"{where}: data={data!r}: the path of a CSV file is needed")

    def made() -> Journey:
        return Journey(
            table["name"],
            steps,
            table.get("weight", 1.0),
            None if data is None else folder / data,
            table.get("rows", "in turn"),
        )

    return _placed(made, lambda step: lines.of(number, step))


def _step(table: Mapping[str, Any], lines: _Lines, journey: int, number: int, folder: Path) -> Step:
    for key in table:
        if key not in _STEP_KEYS:
            where = lines.of(journey, number, key)
            raise UsageError(f"{where}: {UnknownKeyError(key, _STEP_KEYS)}")
    files = table.get("files", {})
    if isinstance(files, Mapping):
        files = {field: folder / str(path) for field, path in files.items()}
    return _placed(lambda: Step(**{**table, "files": files}), lambda _: lines.of(journey, number))


def _placed(make: Callable[[], Made], where: Callable[[int], str]) -> Made:
    """What is made, its error with the place in the file before it."""
    try:
        return make()
    except StepError as error:
        raise UsageError(f"{where(error.number)}: step {error.number}: {error}") from None
    except UsageError as error:
        raise UsageError(f"{where(0)}: {error}") from None


class _Lines:
    """Where things stand in a file."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = text.splitlines()

    def of(self, journey: int = 0, step: int = 0, key: str = "") -> str:
        """`shop.toml, line 3`: where the key stands of the journey, or of its step, with these
        numbers from 1; the head of either without a key. A journey of 0 is what stands before. The
        name alone where it is written in another way."""
        seen_journey = seen_step = 0
        head = ""
        for at, line in enumerate(self._lines, 1):
            opened = re.match(r"\s*\[\[\s*journey\s*(\.\s*step\s*)?\]\]", line)
            if opened and opened[1]:
                seen_step += 1
            elif opened:
                seen_journey, seen_step = seen_journey + 1, 0
            if (seen_journey, seen_step) != (journey, step):
                continue
            where = f"{self._name}, line {at}"
            head = head or where
            written = rf"\s*(\[+\s*)?(journey\.)?(step\.)?[\"']?{re.escape(key)}\b"
            if key and not opened and re.match(written, line):
                return where
        return head if (journey or step) and head else self._name
