"""Texts with values in them: `/orders/{id}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ENVIRONMENT = "env:"
"""`{env:NAME}` is a variable of the environment in which the journey is read."""
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r"\{\{((?:env:)?[A-Za-z_]\w*)\}\}|\{((?:env:)?[A-Za-z_]\w*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Template:
    """A text in which `{name}` stands for a value, and `{{name}}` for `{name}` itself. Any other
    brace is one."""

    text: str
    _parts: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Literal texts and names of values in turn, beginning and ending with a text."""

    def __post_init__(self) -> None:
        parts = [""]
        end = 0
        for found in _VALUE.finditer(self.text):
            parts[-1] += self.text[end : found.start()]
            end = found.end()
            if found[1] is not None:
                parts[-1] += f"{{{found[1]}}}"
            else:
                parts += [found[2], ""]
        parts[-1] += self.text[end:]
        object.__setattr__(self, "_parts", tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The values that are in it, each once."""
        return tuple(dict.fromkeys(self._parts[1::2]))

    @property
    def in_turn(self) -> tuple[str, ...]:
        """The values as they come in it."""
        return self._parts[1::2]

    @property
    def literals(self) -> tuple[str, ...]:
        """The texts around the values."""
        return self._parts[::2]

    @property
    def whole(self) -> str | None:
        """The name of the value that is all of it; None when there is more or less."""
        parts = self._parts
        return parts[1] if len(parts) == 3 and parts[0] == parts[2] == "" else None

    def fill(
        self, values: Mapping[str, str], written: Callable[[str, str], str] | None = None
    ) -> str:
        """The text with the values in it, each as `written` makes it of its name and itself."""
        parts = self._parts
        if len(parts) == 1:
            return parts[0]
        made = [parts[0]]
        for place in range(1, len(parts), 2):
            name = parts[place]
            value = values[name]
            made.append(value if written is None else written(name, value))
            made.append(parts[place + 1])
        return "".join(made)


def escaped(text: str) -> str:
    """A text that a template gives as it is, whatever braces it has."""
    return _VALUE.sub(lambda found: f"{{{found[0]}}}" if found[2] else found[0], text)
