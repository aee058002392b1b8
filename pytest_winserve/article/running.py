"""Makes the experiments, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from pytest_winserve.article.experiments import Experiment
from pytest_winserve.lab.site import Site
from pytest_winserve.report.record import Record
from pytest_winserve.session.display import Watch
from pytest_winserve.session.recorder import attach

APP = "pytest_winserve.sample_app:app"
SLOW, FAST = "/sleep?seconds=1", "/test"

Serve = Callable[[str], AbstractContextManager[Site]]


def run(
    experiment: Experiment, serve: Serve, users: int, duration: float, before: str = ""
) -> Record:
    """Serve the experiment's topology and measure it; `before` stands before what is shown.

    `users` is the number of the smaller loads, `duration` in seconds. Raises WinserveError.
    """
    with serve(experiment.topology) as site:
        recorder = attach(site, Watch(before))
        if experiment.is_probe:
            site.probe(slow=SLOW, fast=FAST)
        else:
            site.load(users=experiment.times * users, duration=duration, path=FAST, keepalive=False)
        return recorder.record(f"winserve article: {experiment.name}", "passed")
