"""Load: what to send (plan), what sends it (engine), what came back (result), what must hold."""

from __future__ import annotations

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
