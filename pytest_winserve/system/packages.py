"""Looks for Python packages without importing them."""

from __future__ import annotations

import importlib.util


def is_installed(name: str) -> bool:
    """Whether Python finds a package by this name. A folder without `__init__.py`, such as
    `locust/` with somebody's locustfiles in it, could be imported and is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None
