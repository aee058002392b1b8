"""The built-in engine with as many workers as its users need; see `pytest_winserve.load.engine`."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_winserve.errors import LoadError, UsageError
from pytest_winserve.load.engines.builtin.event_loops import FAST_LOOP
from pytest_winserve.system.packages import is_installed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_winserve.load.engine import Engine, Progress, Target
    from pytest_winserve.load.plan import Plan
    from pytest_winserve.load.results.result import Result

# Each of its workers imports this module, and has no use for what starts them: that is imported
# where it is used.

USERS_PER_WORKER = 1000


class BuiltinEngine:
    """Sends from processes of its own, never from the calling one.

    `workers` is their number: by default one per 1000 users, at most one per core.
    """

    name = "builtin"

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers={workers}: a whole number >= 1 is needed")
        self._workers = workers

    def ready(self) -> str:
        """With what its workers wait for answers."""
        if FAST_LOOP is None:
            return "with epoll"
        found = is_installed(FAST_LOOP)
        return f"with {FAST_LOOP}" if found else f"without {FAST_LOOP} (slower)"

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result:
        """Run to the end; the result is marked when workers were lost on the way.

        UsageError when this machine cannot connect as many users (`limits.check`), LoadError when
        a worker did not even start, or all were lost before they reported.
        KeyboardInterrupt, like any error of `on_progress`, stops the workers at once and passes.
        """
        from pytest_winserve.load.engine import GRACE_SECONDS, START_SECONDS, longest_run, resolve
        from pytest_winserve.load.engines.builtin.crew import WorkerCrew
        from pytest_winserve.load.measures.listen_queues import syn_retries
        from pytest_winserve.load.recording import generator_limits
        from pytest_winserve.load.recording.worker_reports import result_of

        n = self._workers or min(os.cpu_count() or 1, math.ceil(plan.users / USERS_PER_WORKER))
        plans = plan.split(n)
        generator_limits.check(plan, plans)
        address = resolve(target)
        parts = urlsplit(target.url)
        jobs = [
            {
                "plan": share.to_dict(),
                "address": address,
                "scheme": parts.scheme,
                "host": parts.netloc,
                "tag": target.tag,
                "warmup_tag": target.warmup_tag,
                "nonce": target.nonce,
                "tls": target.tls,
                "index": i,
                "of": len(plans),
            }
            for i, share in enumerate(plans)
        ]
        with WorkerCrew(jobs) as crew:
            crew.await_all("ready", START_SECONDS)
            generator_limits.check_sockets(plans, crew.sockets())
            if plan.warmup:
                crew.tell("warm")
                crew.await_all("warm", plan.warmup + plan.timeout + GRACE_SECONDS)
            host = generator_limits.HostCpu()
            crew.tell("go")
            crew.follow(longest_run(plans), on_progress)
            busy = host.share()
            reports, lost = crew.reports(), crew.lost
            if not reports:
                raise LoadError(f"every load worker was lost\n{crew.log_tail()}")
        return result_of(
            self.name, plan, target.url, reports, len(plans), lost, busy, syn_retries()
        )


ENGINE: Engine = BuiltinEngine()
