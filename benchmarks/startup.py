"""Time from nothing to a ready `nginx4`, against the same five processes started by a shell script.

usage: python benchmarks/startup.py [PAIRS]

Both sides count from the start of a fresh process until every server has answered a request;
`Lab.serve` is also measured alone, in a process that has the package loaded. Needs curl.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import interleave, machine, row, say

from pytest_winserve import Lab
from pytest_winserve.fronts import get_front
from pytest_winserve.options import defaults
from pytest_winserve.ports import ADDRESS, claim_port

GOAL = 1.3
SERVE = """
import sys
from pytest_winserve import Lab
with Lab().serve("nginx4"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def until_ready(command: list[str]) -> float:
    """Seconds until the command says that it is ready; it is ended by the end of its input."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - begun
        process.stdin.close()
    if line.strip() != "ready":
        raise SystemExit(f"{command} did not come up: {line!r}")
    return seconds


def by_shell() -> float:
    """The five processes, started by startup.sh."""
    front = get_front("nginx")
    binary = front.find("auto")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = claim_port()
        addresses = [f"127.0.0.1:{port.number + n}" for n in range(1, 5)]
        front.prepare(
            binary, folder, (ADDRESS, port.number), addresses, defaults(front.options, {})
        )
        script = Path(__file__).with_name("startup.sh")
        try:
            return until_ready(
                ["sh", str(script), sys.executable, str(binary.path), name, str(port.number)]
            )
        finally:
            port.release()


def by_winserve() -> float:
    """A fresh process that serves nginx4."""
    return until_ready([sys.executable, "-c", SERVE])


def by_lab() -> float:
    """`Lab.serve` alone."""
    begun = time.perf_counter()
    with Lab().serve("nginx4"):
        return time.perf_counter() - begun


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    say(machine())
    whole = interleave(by_winserve, by_shell, pairs)
    alone = interleave(by_lab, by_shell, pairs)
    say(row("shell script, nothing to ready", whole.b, "s"))
    say(row("winserve, nothing to ready", whole.a, "s"))
    say(row("  ratio", whole.ratios, f"(goal: at most {GOAL})"))
    say(row("Lab.serve, package loaded", alone.a, "s"))
    say(row("  ratio", alone.ratios, f"(goal: at most {GOAL})"))


if __name__ == "__main__":
    main()
