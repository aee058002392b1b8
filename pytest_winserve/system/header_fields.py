"""Headers of a request as a mapping: their names are the same in capital and small letters."""

from __future__ import annotations

from collections.abc import Mapping


def merged(first: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """The headers of both; of a name that both have, the value of `over`."""
    own = {name.lower() for name in over}
    return {name: text for name, text in first.items() if name.lower() not in own} | dict(over)


def value_of(headers: Mapping[str, str], name: str, default: str = "") -> str:
    """The value of a header, the default where there is none of that name."""
    return next((text for each, text in headers.items() if each.lower() == name.lower()), default)
