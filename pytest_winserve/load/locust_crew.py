"""Public address of Locust's `Machine`, another machine that sends."""

from __future__ import annotations

from pytest_winserve.load.engines.locust.crew import Machine

__all__ = ["Machine"]
