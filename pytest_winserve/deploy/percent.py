"""Paths that some service managers would not take as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_winserve.errors import UsageError

if TYPE_CHECKING:
    from pytest_winserve.deploy.order import Order


def refuse_percent(order: Order, who: str) -> None:
    """Raise UsageError for a path with a percent sign, of which `who` would make a variable."""
    for what, path in (("--to", str(order.folder)), ("--python", order.python.command)):
        if "%" in path:
            raise UsageError(
                f"{what}={path}: {who} takes what is between two % for a variable; with "
                f"--services {order.services} name a path without %"
            )
