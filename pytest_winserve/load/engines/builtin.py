"""The built-in engine with as many workers as its users need; see `pytest_winserve.load.engine`."""

from __future__ import annotations

from pytest_winserve.load.engine import BuiltinEngine, Engine

ENGINE: Engine = BuiltinEngine()
