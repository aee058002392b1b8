"""Time from nothing to a ready `nginx4`, against the same five processes started by a shell script.

usage: python benchmarks/startup.py [PAIRS] [--host HOST[,HOST...]]

Both sides count from the start of a fresh process until every server has answered a request;
`Lab.serve` is also measured alone, in a process that has the package loaded. Needs curl.

With --host, instead: on each of these hosts, `Lab.serve` with the way to the host opened for it,
and with that kept open from the site before, as in a test run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import interleave, machine, row, say

from pytest_winserve import Lab
from pytest_winserve.fronts import get_front
from pytest_winserve.options import defaults
from pytest_winserve.system.ports import ADDRESS, claim_port

GOAL = 1.3
PATIENCE = 120.0
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


def on_host(host: str, rounds: int) -> None:
    """The rows of a host."""

    def serve(lab: Lab) -> float:
        begun = time.perf_counter()
        with lab.serve("nginx4"):
            return time.perf_counter() - begun

    def opened() -> float:
        return serve(Lab(host, start_timeout=PATIENCE))

    with Lab(host, start_timeout=PATIENCE) as kept:
        serve(kept)
        pairs = interleave(opened, lambda: serve(kept), rounds)
    say(row(f"{host}: the host opened, nginx4 ready", pairs.a, "s"))
    say(row(f"{host}: the host is open, nginx4 ready", pairs.b, "s"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="?", type=int, default=10)
    parser.add_argument("--host")
    given = parser.parse_args()
    pairs = given.pairs
    say(machine())
    if given.host:
        for host in given.host.split(","):
            on_host(host, pairs)
        return
    whole = interleave(by_winserve, by_shell, pairs)
    alone = interleave(by_lab, by_shell, pairs)
    say(row("shell script, nothing to ready", whole.b, "s"))
    say(row("winserve, nothing to ready", whole.a, "s"))
    say(row("  ratio", whole.ratios, f"(goal: at most {GOAL})"))
    say(row("Lab.serve, package loaded", alone.a, "s"))
    say(row("  ratio", alone.ratios, f"(goal: at most {GOAL})"))


if __name__ == "__main__":
    main()
