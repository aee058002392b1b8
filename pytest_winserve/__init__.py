"""Which way of serving a Flask (WSGI) application on Windows holds up, and how each one fails.

`Lab` starts real servers and gives a `Site`; the pytest plugin wraps the same objects in fixtures.
Names are imported on first use, so that a test suite that does not use the plugin pays nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_winserve.lab.lab import Lab as Lab
    from pytest_winserve.lab.site import Site as Site
    from pytest_winserve.load.journeys.journey import Journey as Journey
    from pytest_winserve.load.journeys.steps import Step as Step
    from pytest_winserve.load.plan import Request as Request
    from pytest_winserve.topology import Topology as Topology
    from pytest_winserve.version import __version__ as __version__

__all__ = ["Journey", "Lab", "Request", "Site", "Step", "Topology", "__version__"]


_HOMES = {
    "Journey": "load.journeys.journey",
    "Lab": "lab.lab",
    "Request": "load.plan",
    "Site": "lab.site",
    "Step": "load.journeys.steps",
    "Topology": "topology",
    "__version__": "version",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
