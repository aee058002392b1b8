"""Makes the experiments, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from pytest_winserve.article.experiments import Experiment
from pytest_winserve.lab.site import Site
from pytest_winserve.report.record import Record
from pytest_winserve.session.display import Watch
from pytest_winserve.session.recorder import attach

SLOW, FAST = "/sleep?seconds=1", "/test"

Serve = Callable[[str], AbstractContextManager[Site]]


def run(
    experiment: Experiment,
    serve: Serve,
    users: int,
    duration: float,
    keep: Callable[[Record], None],
    before: str = "",
) -> None:
    """Serve the experiment's topology, measure it, `keep` the record, and only then stop the site.

    `users` is the number of the smaller loads, `duration` in seconds; `before` stands before what
    is shown. Raises WinserveError, also when what was kept is good and the stop is not.
    """
    with serve(experiment.topology) as site:
        recorder = attach(site, Watch(before))
        if experiment.is_probe:
            site.probe(slow=SLOW, fast=FAST)
        else:
            site.load(users=experiment.times * users, duration=duration, path=FAST, keepalive=False)
        keep(recorder.record(f"winserve article: {experiment.name}", "passed"))
