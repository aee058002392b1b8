"""The routes of an app, where it can be asked for them: Flask's `url_map`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_winserve.backend.wrapped import objects_in

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
    for each in objects_in(app):
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
