"""What `--during` asks for, what is refused of it, and what it is said to have cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Second
from pytest_winserve.topology import Topology
from pytest_winserve.verify.during import Happened, Planned, cost, planned
from pytest_winserve.verify.processes import check_ends
from tests.kit.results import Make


def test_it_is_in_the_order_of_time_and_a_command_may_have_an_at() -> None:
    found = planned(["net start x at 3.5s", r"C:\a b\look at.cmd at 2"], 10)
    assert found == (Planned(r"C:\a b\look at.cmd", 2.0), Planned("net start x", 3.5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upgrade.cmd", "such as 'C:"),
        ("at 2s", "such as 'C:"),
        ("upgrade.cmd at noon", "such as 'C:"),
        ("upgrade.cmd at 10s", "give a --duration of more than 10"),
    ],
)
def test_what_cannot_be_planned(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        planned([text], 10)


@pytest.mark.parametrize("what", ["restart backend-0", "stop backend-2", "stop apache", "kill"])
def test_only_processes_of_the_topology_are_ended(what: str) -> None:
    topology = Topology.parse("nginx2-waitress")
    with pytest.raises(UsageError, match="one of backend-0, backend-1, nginx is needed"):
        check_ends([Planned(what, 1)], topology, "local")
    check_ends([Planned("kill backend-1", 1), Planned("stop nginx", 2)], topology, "local")
    with pytest.raises(UsageError, match="on the host wine"):
        check_ends([Planned("kill backend-1", 1)], topology, "wine")


def test_each_is_told_with_what_failed_until_the_next(make: Make) -> None:
    seconds = [
        Second(at, outcomes=outcomes)
        for at, outcomes in enumerate(
            [{"200": 100}, {"200": 90, "reset": 8, "502": 2}, {"502": 1, "200": 9}, {"200": 100}]
        )
    ]
    result = Result.from_dict(make.result(outcomes={"200": 299, "reset": 8, "502": 3}))
    result = replace(result, timeline=tuple(seconds), elapsed=4.0)
    happened = [Happened("kill a", 1.4, 1.5, "pid 7"), Happened("up", 3.2, 9.0, "exit status 0")]
    told = list(cost(happened, [Planned("kill a", 1.4), Planned("late", 3.9)], result))
    failed = "11 of 110 requests failed (502: 3, reset: 8)"
    assert told == [
        "before: 0 of 100 requests failed",
        f"kill a, at 1.4 s, done at 1.5 s (pid 7): {failed}, from second 1 to second 2",
        "up, at 3.2 s, done at 9.0 s, after the load (exit status 0): 0 of 100 requests failed",
        "late, planned at 3.9 s: the load was over before",
    ]
