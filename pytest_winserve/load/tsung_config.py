"""Public address of tsung's `Client`, another machine that sends."""

from __future__ import annotations

from pytest_winserve.load.engines.tsung.config import Client

__all__ = ["Client"]
