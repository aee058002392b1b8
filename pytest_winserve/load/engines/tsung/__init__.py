"""tsung as an engine: Erlang, on this machine or on several; see `docs/engines.md`.

It answers less than the built-in one: no time to the first byte, no mark of the backend that
answered, and an answer that breaks off in its body is one. What is not known is None, never 0.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_winserve.errors import LoadError, UsageError
from pytest_winserve.load.engine import Engine, Progress, Target, longest_run, resolve
from pytest_winserve.load.engines.tsung.config import (
    RETRIES,
    Client,
    check_plan,
    configuration,
    users_of,
)
from pytest_winserve.load.engines.tsung.log import read_log
from pytest_winserve.load.engines.tsung.node import Node, find_tsung, running
from pytest_winserve.load.engines.tsung.result import outcomes_of, result_of, sent_of, timeline_of
from pytest_winserve.load.handshake import shake_hands
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording.foreign_programs import workspace
from pytest_winserve.load.results.result import Result

NAME = "tsung"
START_SECONDS = 60
"""How long tsung may take to start, and to end after its last user (it looks every 5 s)."""


class TsungEngine:
    """Sends with tsung. `clients` are the machines that send, by ssh; without them it is this one.

    The answers of a backend with another nonce are not told apart: tsung does not show headers.
    """

    name = NAME

    def __init__(self, clients: Sequence[Client | str] = ()) -> None:
        made = tuple(c if isinstance(c, Client) else Client(c) for c in clients)
        for client in made:
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", client.host) or client.weight < 1:
                raise UsageError(f"{client!r}: a host name, and a weight >= 1, are needed")
        self._clients = made

    def ready(self) -> str:
        """The version. MissingComponent where it is not installed, UsageError on Windows."""
        done = subprocess.run(
            [str(find_tsung()), "-v"], capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout.strip().removeprefix("Tsung version ") or "of an unknown version"

    def check(self, plan: Plan) -> None:
        """UsageError for what tsung cannot send, with the step of a journey and its key."""
        check_plan(plan)

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result:
        """Run to the end. A result of which something is not known has `generator.lost` = 1.

        UsageError for what tsung cannot send, MissingComponent without it, LoadError when it does
        not start, or dies, or the site's certificate is not to be trusted; KeyboardInterrupt, like
        any error of `on_progress`, ends it and passes.
        """
        check_plan(plan)
        find_tsung()
        shake_hands(target)  # tsung itself takes any certificate
        if plan.warmup:
            before = replace(plan, duration=plan.warmup, count=None, stages=(), warmup=0.0)
            self._run(before, replace(target, tag=target.warmup_tag), None)
        return self._run(plan, target, on_progress)

    def _run(
        self, plan: Plan, target: Target, on_progress: Callable[[Progress], None] | None
    ) -> Result:
        planned = len(users_of(plan))
        longest = longest_run([plan]) + plan.think_time + (2 + RETRIES) * plan.timeout
        with workspace(NAME) as folder:
            config = folder / "tsung.xml"
            config.write_text(
                configuration(
                    plan, target, resolve(target), target.tag, folder,
                    longest + START_SECONDS, self._clients,
                ),
                encoding="utf-8",
            )  # fmt: skip
            with running(config, folder, distributed=bool(self._clients)) as node:
                peak = 0.0
                for cpu in node.follow(longest + 2 * START_SECONDS):
                    peak = max(peak, cpu)
                    if on_progress is not None:
                        _tell(node, on_progress)
                log = node.log
                if log is None:
                    raise LoadError(f"tsung ended without a log\n{node.said()}")
                return result_of(plan, target, log, node.full, planned, peak, node.said())


def _tell(node: Node, on_progress: Callable[[Progress], None]) -> None:
    path: Path | None = node.log
    if path is None:
        return
    log = read_log(path)
    seconds = timeline_of(log)
    if seconds:
        on_progress(Progress(float(len(seconds)), sent_of(log), outcomes_of(log), 0))


ENGINE: Engine = TsungEngine()
