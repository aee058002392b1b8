"""A stop that is interrupted ends everything at once, however far it has come."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_winserve.deployment.processes import Processes
from tests.kit.traces import Serve, Traces


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    "step", ["_take_stock", "_ask_front_to_stop", "_end_leftovers", "_dismiss_keeper", "_clean_up"]
)
def test_at_each_step(
    serve: Serve, traces: Traces, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    done = getattr(Processes, step)
    struck: list[str] = []

    def interrupted(self: Processes, *arguments: Any, **more: Any) -> Any:
        if struck:
            return done(self, *arguments, **more)
        struck.append(step)
        if not before:
            done(self, *arguments, **more)
        raise KeyboardInterrupt

    site = serve("nginx2-waitress")
    monkeypatch.setattr(Processes, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        site.close()
    traces.gone()
    site.close()
