"""The lab's end on another machine has nothing of the lab, of pytest and of the settings in it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from pytest_winserve.deployment.contract import Spec
from pytest_winserve.load.plan import Plan
from pytest_winserve.tags import lab_tag, load_tag
from pytest_winserve.topology import Topology
from tests.kit.commands import clean_environment

AGENT = """
import json, sys
from pytest_winserve.remote.agent import Session

class Channel:
    def send(self, message): pass

session = Session()
try:
    for name, arguments in json.load(sys.stdin):
        takes_long = [Channel()] if name in ("probe", "capacity", "load") else []
        state, value, *more = session.answer(name, [*arguments, *takes_long])
        assert state == "ok", (name, state, value, more)
finally:
    problems = session.stop()
assert not problems, problems
print(json.dumps(sorted(sys.modules)))
"""
"""Does the calls of its standard input; prints what it has imported then."""

ABOVE = {"checks", "cli", "compare", "hosts", "lab", "plugin", "recommend", "report", "session"}
"""Rooms and modules of the lab's own machine."""

NOT_NEEDED = {"_pytest", "click", "execnet", "platformdirs", "pytest", "requests"}
"""What the agent works without."""


def modules_after(folder: Path, *calls: tuple[str, list[object]]) -> set[str]:
    """What a process has imported that did these calls as the agent."""
    done = subprocess.run(
        [sys.executable, "-c", AGENT],
        input=json.dumps(calls), cwd=folder, env=clean_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_agent_imports_nothing_of_the_lab_and_of_pytest(tmp_path: Path) -> None:
    topology = Topology.parse("nginx2-tornado")
    slow, fast = "/sleep?seconds=0.2", "/test"
    spec = Spec(
        topology, "pytest_winserve.sample_app:app", None, fast, "auto", 60.0, 0, str(tmp_path), ()
    )
    modules = modules_after(
        tmp_path,
        ("about", []),
        ("deploy", [asdict(spec) | {"topology": str(topology)}]),
        ("start", []),
        ("probe", [{"path": slow, "hold": 0.0}, fast, 1, 2, [lab_tag(2), lab_tag(3)]]),
        (
            "capacity",
            [
                {"path": slow, "hold": 0.0},
                2,
                2,
                topology.declared,
                [lab_tag(n) for n in range(4, 20)],
            ],
        ),
        ("watch", []),
        ("load", ["builtin", Plan.make(users=2, count=20).to_dict(), load_tag(20), load_tag(21)]),
        ("usage", []),
        ("backend_counts", [load_tag(20)]),
        ("front_counts", [load_tag(20)]),
        ("logs", []),
    )
    assert "pytest_winserve.deployment.processes" in modules
    rooms = {name.split(".")[1] for name in modules if name.startswith("pytest_winserve.")}
    assert rooms & ABOVE == set()
    assert {name.partition(".")[0] for name in modules} & NOT_NEEDED == set()
