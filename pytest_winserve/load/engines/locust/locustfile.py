"""What Locust loads, in its master and in every worker.

The engine `locust` starts both, see `pytest_winserve.load.engines.locust.crew`; workers on other
machines are started by `pytest_winserve.locust_join`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gevent import monkey
from locust import events, runners

from pytest_winserve.load.engines.locust.master import Master
from pytest_winserve.load.engines.locust.worker import WinserveUser as WinserveUser
from pytest_winserve.load.engines.locust.worker import Worker
from pytest_winserve.load.recording.generator_limits import raise_descriptors

# Progress once a second, as from the built-in engine; Locust's own is 3 s.
runners.WORKER_REPORT_INTERVAL = 1.0


@events.init_command_line_parser.add_listener
def add_options(parser: Any, **_: object) -> None:
    parser.add_argument("--winserve-job", default="", help="file with the load, for the master")
    parser.add_argument(
        "--winserve-guarded", action="store_true", help="end when standard input closes"
    )


@events.init.add_listener
def prepare(environment: Any, **_: object) -> None:
    options = environment.parsed_options
    if options.winserve_guarded:
        # A thread of the system's own: gevent's would not wait while it reads.
        monkey.get_original("_thread", "start_new_thread")(_end_with_the_engine, ())
    if isinstance(environment.runner, runners.WorkerRunner):
        raise_descriptors()
        environment.winserve = Worker(environment)
    elif options.winserve_job:
        job = json.loads(Path(options.winserve_job).read_text("utf-8"))
        environment.winserve = Master(environment, job)


def _end_with_the_engine() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)
