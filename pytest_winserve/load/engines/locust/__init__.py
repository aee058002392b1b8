"""Locust as an engine, on this machine or on several; see `docs/engines.md`.

Its users and its client send, its master and workers divide and report. What is measured is
recorded in the worker in the layout of this package's histograms, as Locust rounds times to two
digits.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from pytest_winserve.errors import LoadError, UsageError
from pytest_winserve.load.engine import (
    GRACE_SECONDS,
    START_SECONDS,
    Engine,
    Progress,
    Target,
    longest_run,
    resolve,
)
from pytest_winserve.load.engines.locust.crew import (
    LocustCrew,
    Machine,
    find_locust,
    running,
    version_of,
)
from pytest_winserve.load.measures.listen_queues import syn_retries
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.recording import generator_limits
from pytest_winserve.load.recording.foreign_programs import workspace
from pytest_winserve.load.recording.merge import added
from pytest_winserve.load.recording.worker_reports import WorkerReport, result_of
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.ports import ADDRESS, claim_port
from pytest_winserve.version import __version__

NAME = "locust"
USERS_PER_WORKER = 250
USERS_PER_SECOND = 200
"""How many users Locust makes per second at least, on a busy machine."""


class LocustEngine:
    """Sends with Locust: a master on this machine, and workers.

    `workers` is their number on this machine: by default one per 250 users, at most one per core;
    0 when others send. `machines` are reached by ssh. `others` more are started by hand, by
    `python -m pytest_winserve.locust_join HOST:PORT`. For both, `address` is that "HOST:PORT",
    where the master listens: this machine's address that the others know.
    """

    name = NAME

    def __init__(
        self,
        workers: int | None = None,
        machines: Sequence[Machine | str] = (),
        others: int = 0,
        address: str | None = None,
    ) -> None:
        if workers is not None and workers < 0:
            raise UsageError(f"workers={workers}: a whole number >= 0 is needed")
        if others < 0:
            raise UsageError(f"others={others}: a whole number >= 0 is needed")
        self._machines = tuple(m if isinstance(m, Machine) else Machine(m) for m in machines)
        for machine in self._machines:
            if not re.fullmatch(r"[A-Za-z0-9_.@:-]+", machine.host) or machine.workers < 1:
                raise UsageError(f"{machine!r}: a host name, and workers >= 1, are needed")
            if machine.host.startswith("-"):
                raise UsageError(f"{machine!r}: a host name does not start with '-'")
        self._elsewhere = others + sum(machine.workers for machine in self._machines)
        if workers == 0 and not self._elsewhere:
            raise UsageError("workers=0: without machines= or others= nobody would send")
        if self._elsewhere and address is None:
            raise UsageError(
                "address is needed with machines or others: 'HOST:PORT', this machine's address "
                "that they know, and a free port"
            )
        self._address = None if address is None else _address_of(address)
        self._workers = workers
        self._others = others

    def ready(self) -> str:
        """The version. MissingComponent where it is not installed."""
        return version_of(find_locust())

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result:
        """Run to the end; the result is marked when workers were lost on the way.

        UsageError for fewer users than workers that were asked for, or more than this machine can
        connect (`limits.check`), MissingComponent without Locust, LoadError when it does not start,
        its master dies, or all workers are lost before they reported; KeyboardInterrupt, like any
        error of `on_progress`, ends it and passes.
        """
        here = self._here(plan)
        workers = here + self._elsewhere
        users = users_of(plan)
        shares = plan.split(workers)
        if not self._elsewhere:
            generator_limits.check(plan, shares)
        find_locust()
        job = {
            "version": __version__,
            "plan": plan.to_dict(),
            "users": users,
            "address": resolve(target),
            "scheme": urlsplit(target.url).scheme,
            "host": urlsplit(target.url).netloc,
            "tls": target.tls,
            "tag": target.tag,
            "warmup_tag": target.warmup_tag,
            "nonce": target.nonce,
        }
        claimed = None if self._address is not None else claim_port()
        address = self._address or (ADDRESS, 0 if claimed is None else claimed.number)
        longest = longest_run(shares) + GRACE_SECONDS
        start_seconds = START_SECONDS + users / USERS_PER_SECOND
        if plan.warmup:
            start_seconds += plan.warmup + plan.timeout + GRACE_SECONDS
        try:
            with (
                workspace(NAME) as folder,
                running(
                    folder, job, target.url, address, here, self._machines, self._others
                ) as crew,
            ):
                load = _Load(plan, target.url, crew, all_here=not self._elsewhere)
                return load.follow(start_seconds, longest, on_progress)
        finally:
            if claimed is not None:
                claimed.release()

    def _here(self, plan: Plan) -> int:
        """How many workers run on this machine."""
        users = users_of(plan)
        most = min(users, plan.count or users) - self._elsewhere
        if self._workers is None and self._elsewhere:
            here = 0
        elif self._workers is None:
            cores = os.cpu_count() or 1
            here = min(cores, math.ceil(users / USERS_PER_WORKER), most)
        else:
            here = self._workers if self._elsewhere else min(self._workers, most)
        if here > most:
            raise UsageError(
                f"{here + self._elsewhere} workers for {users} users: each worker of Locust "
                "needs a user, and a request to send; take fewer workers, or a larger plan"
            )
        return here


def users_of(plan: Plan) -> int:
    """How many users Locust makes: the plan's, in the open model as many as may ever be in flight.

    A request lasts for `timeout` at most, so no more than that many arrivals are under way; the
    10 % more, and ten, are for a generator that is late itself.
    """
    if plan.rate is None:
        return plan.users
    highest = max([plan.rate, *(stage.level for stage in plan.stages)])
    most = [plan.users, math.ceil(highest * plan.timeout) * 11 // 10 + 10]
    if plan.count is not None:
        most.append(plan.count)
    return min(most)


def _address_of(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"address={text!r}: 'HOST:PORT' is needed, such as '10.0.0.1:5557'")
    return host, int(port)


class _Load:
    """What is known of a load so far."""

    def __init__(self, plan: Plan, url: str, crew: LocustCrew, *, all_here: bool) -> None:
        self._plan = plan
        self._url = url
        self._crew = crew
        self._reports: dict[int, WorkerReport] = {}
        self._workers = 0
        self._lost = 0
        self._began = perf_counter()
        self._all_here = all_here
        self._host = generator_limits.HostCpu()
        self._busy: float | None = None

    def follow(
        self, start_seconds: float, longest: float, on_progress: Callable[[Progress], None] | None
    ) -> Result:
        try:
            for message in self._crew.follow(start_seconds, longest):
                self._take(message)
                if message["type"] == "report" and on_progress is not None:
                    on_progress(self._progress())
        except LoadError as error:
            raise LoadError(f"{error}\n{self._known()}") from error
        reports = list(self._reports.values())
        if not reports:
            raise LoadError(f"every worker of Locust was lost\n{self._crew.said()}")
        retries = syn_retries() if self._all_here else None
        return result_of(
            NAME, self._plan, self._url, reports, self._workers, self._lost, self._busy, retries
        )

    def _take(self, message: Mapping[str, Any]) -> None:
        try:
            self._understand(message)
        except (ValueError, TypeError, KeyError) as error:
            text = f"Locust's master wrote what it should not: {error!r}"
            raise LoadError(f"{text}\n{self._crew.said()}") from error

    def _understand(self, message: Mapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "begun":
            self._workers = message["workers"]
            self._began = perf_counter()
            self._host = generator_limits.HostCpu()
        elif kind == "report":
            self._reports.setdefault(message["worker"], WorkerReport()).take(message["snapshot"])
        elif kind == "lost":
            self._lost += 1
        elif kind == "refused":
            raise LoadError(f"Locust cannot run this load: {message['text']}\n{self._crew.said()}")
        elif kind == "end":
            self._busy = self._host.share() if self._all_here else None
            self._check(message)

    def _snapshots(self) -> list[dict[str, Any]]:
        return [report.last for report in self._reports.values() if report.last is not None]

    def _check(self, message: Mapping[str, Any]) -> None:
        """Hold what was recorded against Locust's own count of requests."""
        if message["failures"]:
            raise LoadError(f"a user of Locust failed: {message['failures'][0]}")
        recorded = sum(s["before"] + sum(s["outcomes"].values()) for s in self._snapshots())
        if not self._lost and recorded != message["requests"]:
            raise LoadError(f"Locust counted {message['requests']} requests, its users {recorded}")

    def _progress(self) -> Progress:
        snapshots = self._snapshots()
        return Progress(
            perf_counter() - self._began,
            sum(snapshot["sent"] for snapshot in snapshots),
            added(snapshot["outcomes"] for snapshot in snapshots),
            sum(snapshot["dropped"] for snapshot in snapshots),
        )

    def _known(self) -> str:
        """`what is known: 12 sent, outcomes: 200 11`"""
        progress = self._progress()
        outcomes = ", ".join(f"{name} {n}" for name, n in progress.outcomes.items()) or "none"
        return f"what is known: {progress.sent} sent, outcomes: {outcomes}"


ENGINE: Engine = LocustEngine()
