"""Load: what to send (plan), what sends it (engine), what came back (result), what must hold.

Names are imported on first use: what sends a load needs none of what judges it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_winserve.load.criteria import Check, Criterion, Measured, evaluate, require
    from pytest_winserve.load.engine import Engine, Progress, Target
    from pytest_winserve.load.engines import get_engine
    from pytest_winserve.load.measures.histogram import Histogram
    from pytest_winserve.load.plan import Plan, Request, Stage
    from pytest_winserve.load.results.ledger import Ledger
    from pytest_winserve.load.results.result import Result
    from pytest_winserve.load.results.shares import (
        BackendShare,
        Generator,
        OutcomeTimes,
        RequestShare,
        Second,
    )

__all__ = [
    "BackendShare",
    "Check",
    "Criterion",
    "Engine",
    "Generator",
    "Histogram",
    "Ledger",
    "Measured",
    "OutcomeTimes",
    "Plan",
    "Progress",
    "Request",
    "RequestShare",
    "Result",
    "Second",
    "Stage",
    "Target",
    "evaluate",
    "get_engine",
    "require",
]

_DEFINED_IN = {
    "criteria": ("Check", "Criterion", "Measured", "evaluate", "require"),
    "engine": ("Engine", "Progress", "Target"),
    "engines": ("get_engine",),
    "measures.histogram": ("Histogram",),
    "plan": ("Plan", "Request", "Stage"),
    "results.ledger": ("Ledger",),
    "results.result": ("Result",),
    "results.shares": ("BackendShare", "Generator", "OutcomeTimes", "RequestShare", "Second"),
}


def __getattr__(name: str) -> object:
    for module, names in _DEFINED_IN.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
