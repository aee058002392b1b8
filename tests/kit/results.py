"""Hand-made content of results.json: every part can be replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.ledger import Ledger, Side
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import BackendShare, Generator, Second
from pytest_winserve.load.results.usage import PartUsage, SiteUsage
from pytest_winserve.report.blocks import Report
from pytest_winserve.report.record import SCHEMA, RunRecord

APP = "pytest_winserve.sample_app:app"


def histogram(*samples: float) -> Histogram:
    return Histogram.from_dict(_recorded(samples))


@cache
def _recorded(samples: tuple[float, ...]) -> dict[str, Any]:
    """The same thousands of samples are in most of what is made here."""
    made = Histogram()
    for sample in samples:
        made.record(sample)
    return made.to_dict()


class Make:
    """Builds one part of results.json after the other; keyword arguments replace keys."""

    def request(self, seconds: float, **keys: Any) -> dict[str, Any]:
        made = {"path": "/test", "error": None, "seconds": seconds, "blocked": False}
        return {**made, "status": 200, "backend": 0, "pid": 4711, "thread": 140, **keys}

    def verdict(self, *, blocked: int = 0, fast: int = 8, **keys: Any) -> dict[str, Any]:
        requests = [
            self.request(
                1.01 if i < blocked else 0.004 + i / 1000, blocked=i < blocked, backend=i % 4
            )
            for i in range(fast)
        ]
        slow = [self.request(1.002, backend=0)]
        made = {
            "non_blocking": blocked == 0,
            "blocked_fraction": blocked / fast if fast else 0.0,
            "sleepers": 1,
            "slow": "/sleep?seconds=1",
            "fast": "/test",
            "fast_seconds": [request["seconds"] for request in requests],
            "slow_seconds": [request["seconds"] for request in slow],
            "fast_requests": requests,
            "slow_requests": slow,
            "checks": [],
        }
        return {**made, **keys}

    def capacity(self, value: int = 4, **keys: Any) -> dict[str, Any]:
        made = {"value": value, "at_least": False, "limit": 64, "declared": 4}
        how = {"how": "counted in the backends", "per_backend": [1, 1, 1, 1], "checks": []}
        return {**made, **how, **keys}

    def check(self, criterion: str = "p95 < 500ms", **keys: Any) -> dict[str, Any]:
        made = {"criterion": criterion, "measured": "312 ms", "passed": True, "reason": ""}
        return {**made, "close": False, **keys}

    def result(
        self,
        *,
        outcomes: dict[str, int] | None = None,
        checks: list[dict[str, Any]] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """A load of 12 seconds that took 0.01 to 0.4 s per answer."""
        outcomes = {"200": 2330, "502": 50, "refused": 20} if outcomes is None else outcomes
        sent = sum(outcomes.values())
        answered = sum(count for name, count in outcomes.items() if name.isdigit())
        times = [0.01 + 0.39 * ((i * 7919) % answered) / answered for i in range(answered)]
        made: dict[str, Any] = {
            "plan": Plan.make(users=500, duration=12, keepalive=False),
            "engine": "builtin",
            "url": "http://127.0.0.1:49152",
            "sent": sent,
            "outcomes": outcomes,
            "dropped": 0,
            "elapsed": 12.0 if sent else 0.0,
            "connect": histogram(*(time / 10 for time in times)),
            "first_byte": histogram(*(time / 2 for time in times)),
            "total": histogram(*times),
            "sessions": histogram(),
            "timeline": self.timeline(outcomes, times),
            "by_backend": {
                str(i): BackendShare(answers=len(times[i::4]), total=histogram(*times[i::4]))
                for i in range(4 if times else 0)
            },
            "generator": Generator(workers=2, lost=0, cpu=0.41, lag=0.0008, limited_by="none"),
            "ledger": self.ledger(sent, answered),
            "site": self.usage(),
        }
        result = Result(**{**made, **fields}).to_dict()
        # As it comes back from a file: lists, no tuples.
        return {**json.loads(json.dumps(result)), "checks": checks or []}

    def usage(self) -> SiteUsage:
        """Of a front and two backends, the second of which ended."""
        parts = (
            PartUsage("nginx", 2, 6 * 2**20, 1.5),
            PartUsage("backend-0", 1, 30 * 2**20, 4.25),
            PartUsage("backend-1", 1, 28 * 2**20, 2.0, ended=True),
        )
        return SiteUsage(parts, 4, 62 * 2**20, "pss", 13, 12.1)

    def ledger(self, sent: int, answered: int, seen: int | None = None) -> Ledger:
        """The front's log has `seen` requests, by default what was answered."""
        side = Side("front's log", answered if seen is None else seen, answered, answered)
        return Ledger(sent, answered, sent - answered, (side,))

    def timeline(self, outcomes: dict[str, int], times: list[float]) -> tuple[Second, ...]:
        """Twelve seconds with equal shares of everything, the rest in the last one."""
        seconds = []
        for i in range(12 if outcomes else 0):
            part = {
                name: count // 12 + (count % 12 if i == 11 else 0)
                for name, count in outcomes.items()
            }
            mine = times[i::12]
            seconds.append(
                Second(
                    at=i,
                    started=sum(part.values()),
                    finished=sum(part.values()),
                    outcomes=part,
                    connect_count=len(mine),
                    connect_sum=sum(mine) / 10,
                    total_count=len(mine),
                    total_sum=sum(mine),
                    total=histogram(*mine),
                )
            )
        return tuple(seconds)

    def test(self, topology: str = "nginx4", **keys: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "nodeid": f"tests/test_shop.py::test_load[{topology}]",
            "outcome": "passed",
            "topology": topology,
            "host": "local",
            "app": APP,
            "declared": 4,
            "verdicts": [],
            "capacities": [],
            "results": [],
            "events": [],
        }
        return {**made, **keys}

    def full(self, topology: str = "nginx4", **keys: Any) -> dict[str, Any]:
        """A test with one of everything."""
        parts = {
            "verdicts": [self.verdict()],
            "capacities": [self.capacity()],
            "results": [self.result()],
        }
        return self.test(topology, **{**parts, **keys})

    def data(self, *tests: dict[str, Any], **keys: Any) -> dict[str, Any]:
        environment = {
            "os": "Windows-11-10.0.26100",
            "cpu": "Some CPU",
            "cores": 2,
            "memory_bytes": 8 * 2**30,
            "python": "3.11.7",
            "pytest_winserve": "0.1.0",
            "versions": {"flask": "3.1.3", "nginx": "1.31.3 (wheel, C:\\nginx)"},
            "hosts": ["local"],
            "settings": {"users": 500, "require": ["error_rate < 1%"]},
        }
        made = {
            "schema": SCHEMA,
            "created": "2026-11-23T09:00:00+00:00",
            "environment": environment,
            "tests": list(tests),
            "requirements": [],
            "left_out": [],
        }
        return {**made, **keys}


@pytest.fixture
def make() -> Make:
    return Make()


def run_of(data: Mapping[str, Any]) -> RunRecord:
    """The run that has this content of results.json."""
    return RunRecord.from_dict(data)


def report_on(data: Mapping[str, Any]) -> Report:
    """The report on the run that has this content of results.json."""
    return Report.of(run_of(data))


def load(
    rate: float = 1000,
    ms: float = 10,
    *,
    errors: int = 0,
    answers: int = 4000,
    limited_by: str = "none",
    lost: int = 0,
    unaccounted: int = 0,
    plan: Plan | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A run with a mean of `ms`, of which `errors` answers were 502; as in a file."""
    total = Histogram()
    total.record_many([round(ms * 1000 * (0.5 + i % 100 / 99)) for i in range(answers)])
    outcomes = {"200": answers - errors} | ({"502": errors} if errors else {})
    made: dict[str, Any] = {
        "plan": plan or Plan.make(users=10, duration=4),
        "engine": "builtin",
        "url": "http://127.0.0.1:1",
        "sent": answers,
        "outcomes": outcomes,
        "dropped": 0,
        "elapsed": answers / rate,
        "connect": Histogram(),
        "first_byte": Histogram(),
        "total": total,
        "sessions": Histogram(),
        "timeline": (),
        "by_backend": {},
        "generator": Generator(1, lost, 0.2, 0.001, limited_by),
        "ledger": Ledger(
            answers, answers, 0, (Side("backends", answers - unaccounted, answers, answers),)
        ),
    }
    return {**json.loads(json.dumps(Result(**{**made, **fields}).to_dict())), "checks": []}
