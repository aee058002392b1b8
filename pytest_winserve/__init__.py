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


def __getattr__(name: str) -> object:
    if name == "Journey":
        from pytest_winserve.load.journeys.journey import Journey

        return Journey
    if name == "Lab":
        from pytest_winserve.lab.lab import Lab

        return Lab
    if name == "Request":
        from pytest_winserve.load.plan import Request

        return Request
    if name == "Site":
        from pytest_winserve.lab.site import Site

        return Site
    if name == "Step":
        from pytest_winserve.load.journeys.steps import Step

        return Step
    if name == "Topology":
        from pytest_winserve.topology import Topology

        return Topology
    if name == "__version__":
        from pytest_winserve.version import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
