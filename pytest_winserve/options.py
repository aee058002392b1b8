"""Typed options of servers and fronts: what `:key=value` in a topology may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_winserve.errors import UsageError

Value = bool | int | float
Options = Mapping[str, Value]

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its type is the type of its default; numbers have inclusive bounds.

    `of_connections`: a value that is given bounds connections, idle ones too, not only requests.
    """

    name: str
    default: Value
    help: str
    minimum: float = 0
    maximum: float = float("inf")
    of_connections: bool = False

    def parse(self, text: str) -> Value:
        """The value that `text` stands for; raises UsageError with what would be right."""
        if isinstance(self.default, bool):
            if text.lower() not in _BOOLEANS:
                raise UsageError(f"{self.name}={text!r} is not true or false")
            return _BOOLEANS[text.lower()]
        kind = type(self.default)
        try:
            value = kind(text)
        except ValueError:
            noun = "a whole number" if kind is int else "a number"
            raise UsageError(f"{self.name}={text!r} is not {noun}") from None
        if not self.minimum <= value <= self.maximum:
            bounds = (
                f"at least {self.minimum:g}"
                if self.maximum == float("inf")
                else f"{self.minimum:g} to {self.maximum:g}"
            )
            raise UsageError(f"{self.name}={text} is out of range: {bounds}")
        return value

    def format(self, value: Value) -> str:
        """The canonical text of a value."""
        return str(value).lower() if isinstance(value, bool) else str(value)


def defaults(options: tuple[Option, ...], given: Options) -> dict[str, Value]:
    """Every option with its value: the one given, else its default."""
    return {option.name: given.get(option.name, option.default) for option in options}
