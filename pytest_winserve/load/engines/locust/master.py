"""What Locust's master does for a load: gives out shares, hands on what the workers counted.

Imported in Locust only. The engine gives it a file with the job; it writes JSON lines for the
engine: `begun`, `report` with a worker's snapshot, `lost` for a worker that is gone, `refused`, and
`end` with what Locust itself counted.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
from locust.runners import STATE_MISSING

from pytest_winserve.load.plan import Plan

LOOK_EVERY = 0.1

_OF_EACH_PHASE = ("version", "address", "scheme", "host", "tls", "nonce")


class Master:
    """One load: its workers by their ids in Locust, and how far each one is."""

    def __init__(self, environment: Any, job: dict[str, Any]) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._job = job
        self._plan = Plan.from_dict(job["plan"])
        self._lines = Path(job["lines"]).open("a", encoding="utf-8")  # noqa: SIM115 - until the end
        self._workers: list[str] = []
        self._warm: set[str] = set()
        self._done: set[str] = set()
        self._lost: set[str] = set()
        self._refused = False
        environment.events.spawning_complete.add_listener(self._begin)
        environment.events.worker_report.add_listener(self._report)
        self._runner.register_message("winserve_warm", self._warmed)
        self._runner.register_message("winserve_refused", self._refuse)

    def _say(self, kind: str, **data: Any) -> None:
        self._lines.write(json.dumps({"type": kind, **data}) + "\n")
        self._lines.flush()

    def _begin(self, user_count: int, **_: object) -> None:
        if self._workers:
            return  # Locust tells it again when a worker that was lost is not waited for any more
        # Locust divides evenly, so the workers with most users get the shares with most users.
        users = {client.id: client.user_count for client in self._runner.clients.values()}
        if sum(users.values()) != self._job["users"]:
            text = f"{sum(users.values())} users instead of {self._job['users']} were started"
            self._refuse_all(text)
            return
        ids = sorted(users, key=lambda name: (-users[name], name))
        shares = self._plan.split(len(ids))
        self._workers = ids[: len(shares)]
        gevent.spawn(self._run)

    def _run(self) -> None:
        if self._plan.warmup:
            self._start(self._warm_plan(), self._job["warmup_tag"], counted=False)
            self._await(self._warm)
        self._say("begun", workers=len(self._workers))
        self._start(self._plan, self._job["tag"], counted=True)
        self._await(self._done)
        failures = [error["msg"] for error in self._runner.exceptions.values()]
        counted = self._environment.stats.total.num_requests
        self._say("end", requests=counted, failures=failures)
        self._quit(0)

    def _warm_plan(self) -> Plan:
        plan = self._plan
        first = plan.stages[0].level if plan.stages else 0.0
        warm = replace(plan, duration=plan.warmup, count=None, stages=(), warmup=0.0)
        if plan.stages and plan.open_model:
            return replace(warm, rate=plan.rate or first or 1.0)
        return replace(warm, users=max(len(self._workers), int(first))) if plan.stages else warm

    def _start(self, plan: Plan, tag: str | None, *, counted: bool) -> None:
        shares = plan.split(len(self._workers))
        for i, (worker, share) in enumerate(zip(self._workers, shares, strict=True)):
            if worker not in self._lost:
                phase = {
                    **{name: self._job[name] for name in _OF_EACH_PHASE},
                    "plan": share.to_dict(),
                    "tag": tag,
                    "counted": counted,
                    "index": i,
                    "of": len(shares),
                }
                self._runner.send_message("winserve_phase", phase, worker)

    def _await(self, done: set[str]) -> None:
        """Until every worker has come that far, or is gone."""
        while not done | self._lost >= set(self._workers):
            gevent.sleep(LOOK_EVERY)
            clients = self._runner.clients
            for i, worker in enumerate(self._workers):
                gone = worker not in clients or clients[worker].state == STATE_MISSING
                if gone and worker not in self._lost | self._done:
                    self._lost.add(worker)
                    self._say("lost", worker=i)

    def _warmed(self, msg: Any, **_: object) -> None:
        self._warm.add(msg.node_id)

    def _report(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        snapshot = data.get("winserve")
        if snapshot is not None and client_id in self._workers and client_id not in self._lost:
            self._say("report", worker=self._workers.index(client_id), snapshot=snapshot)
            if snapshot["type"] == "final":
                self._done.add(client_id)

    def _refuse(self, msg: Any, **_: object) -> None:
        self._refuse_all(f"worker {msg.node_id}: {msg.data['text']}")

    def _refuse_all(self, text: str) -> None:
        if not self._refused:
            self._refused = True
            self._say("refused", text=text)
            self._quit(1)

    def _quit(self, code: int) -> None:
        self._environment.process_exit_code = code
        # In a greenlet of its own, since it ends the one that a message is handled in.
        gevent.spawn(self._runner.quit)
