"""One process of the built-in engine: `python -m pytest_winserve.load.engines.builtin.worker`.

Everything happens in one event loop: `Run` begins a request of a `User`, whose `Conn` sends it and
reads the answer, which the `Tally` counts; the model of the run says who is next. See engine.py for
the protocol.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from pytest_winserve.load.engines.builtin.closed_model import ClosedRun
from pytest_winserve.load.engines.builtin.connection import Conn
from pytest_winserve.load.engines.builtin.event_loops import Loop, new_loop
from pytest_winserve.load.engines.builtin.open_model import OpenRun
from pytest_winserve.load.engines.builtin.phase import Run
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.generator_limits import raise_descriptors


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_the_engine() -> None:
    """End this process when there is no engine any more."""
    sys.stdin.read()
    os._exit(1)


def _model_of(plan: Plan) -> type[Run]:
    if plan.journeys:
        # Not before it is wanted: what cookies and patterns need is no part of a plain load.
        from pytest_winserve.load.engines.builtin.journey_model import JourneyRun

        return JourneyRun
    return OpenRun if plan.open_model else ClosedRun


def _loop_of(tls: dict[str, Any] | None) -> tuple[Loop, Callable[[type[Conn]], type[Conn]]]:
    """What the worker waits with, and what it makes of a kind of connections."""
    if tls is None:
        return new_loop(), lambda kind: kind
    # Here, because a worker without TLS starts faster so.
    from pytest_winserve.load.engines.builtin.secure import Tls, secure_kind, secure_loop
    from pytest_winserve.system.trust import Trust

    context = Trust(tls["ca"], tls["insecure"]).context()
    return secure_loop(Tls(context, tls["name"])), secure_kind


def work(job: dict[str, Any]) -> None:
    """Run a job as the engine says, line by line."""
    loop, kind_of = _loop_of(job.get("tls"))
    plan = Plan.from_dict(job["plan"])
    run = _model_of(plan)(plan, job, loop)
    run.new_conn = kind_of(run.new_conn)
    gc.collect()
    gc.freeze()
    _say({"type": "ready", "sockets": loop.sockets})
    word = sys.stdin.readline()
    if word == "warm\n":
        run.phase(counted=False)
        _say({"type": "warm"})
        word = sys.stdin.readline()
    if not word:
        os._exit(1)
    threading.Thread(target=_end_with_the_engine, daemon=True).start()
    sent_seconds = 0

    def report(*, final: bool = False) -> None:
        nonlocal sent_seconds
        snapshot = run.tally.snapshot(timeline_from=sent_seconds, final=final)
        sent_seconds = run.tally.closed_seconds
        _say({**snapshot, **run.own_figures()})

    run.phase(counted=True, report=report)
    report(final=True)
    # Nothing is left to be done, and closing thousands of connections one by one takes a while.
    os._exit(0)


def main() -> None:
    # Ctrl-C reaches the whole group; when to end is the engine's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_descriptors()
    job = json.loads(sys.stdin.readline())
    work(job)


if __name__ == "__main__":
    main()
