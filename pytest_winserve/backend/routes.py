"""The routes of an app, where it can be asked for them: Flask's `url_map`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

AROUND = ("app", "wsgi_app", "application", "_app", "server", "wrapped", "__self__", "__wrapped__")
"""Where middleware has what it wraps."""
DEEPEST = 5
MOST = 500


@dataclass(frozen=True, slots=True)
class AppRoute:
    """A route: its rule as Werkzeug writes it, such as `/user/<name>`, its methods, and whether it
    takes no parameters."""

    rule: str
    methods: tuple[str, ...]
    plain: bool


def routes_of(app: object) -> list[AppRoute] | None:
    """The routes of an app but those of static files, by their rule; None where they are not known.
    The first 500 of more."""
    for each in _around(app, DEEPEST):
        rules: Any = getattr(getattr(each, "url_map", None), "iter_rules", None)
        if rules is None:
            continue
        found = [
            AppRoute(
                rule.rule,
                tuple(sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"})),
                not rule.arguments,
            )
            for rule in rules()
            if rule.endpoint.rpartition(".")[2] != "static" and not rule.build_only
        ]
        return sorted(found, key=lambda route: (route.rule, route.methods))[:MOST]
    return None


def _around(each: object, depth: int) -> Iterator[object]:
    """An object, and what it wraps."""
    yield each
    if not depth:
        return
    for name in AROUND:
        inner = getattr(each, name, None)
        if inner is not None and inner is not each:
            yield from _around(inner, depth - 1)
