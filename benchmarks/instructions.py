"""How many instructions a request costs in the lab and by the server's own command.

    python benchmarks/instructions.py                # all servers, about 20 minutes
    python benchmarks/instructions.py tornado uwsgi

Rates on a shared machine say nothing finer than a fifth (see docs/benchmarks.md). Instructions can
be counted: both sides run under valgrind's callgrind (`apt-get install valgrind`), one after the
other, and answer the same requests of one client with keep-alive. What is counted are instructions
in user mode of all processes of the site, for REQUESTS requests after as many that warm up; what
the kernel does for them is not in it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from common import machine, say
from fidelity import APP, BODIES, served

from pytest_winserve import Lab, Request

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.kit.own_commands import own_commands

REQUESTS = 20
START = 300.0
"""Seconds that a start may take: valgrind is 20 to 50 times slower than the processor."""
_TOTALS = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def hold(server: str, side: str) -> None:
    """Serves until standard input ends; says where and by which processes, as a line of JSON."""
    command = own_commands("fidelity_app:application")[server]
    first = server if side == "lab" else "command"
    with served(first, command, Lab(start_timeout=START)) as site:
        pids = [backend.pid for backend in site.backends]
        say(json.dumps({"address": site.deployment.address, "pids": pids}))
        sys.stdin.read()


@contextmanager
def counting(server: str, side: str, folder: Path) -> Iterator[tuple[tuple[str, int], list[int]]]:
    """The address and all processes of a site under valgrind."""
    words = [
        "valgrind", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no", "-q",
        f"--callgrind-out-file={folder}/out.%p", sys.executable, __file__, "--hold", side, server,
    ]  # fmt: skip
    with subprocess.Popen(
        words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = next((line for line in process.stdout if line.startswith("{")), None)
            if line is None:
                raise SystemExit(f"{server} ({side}) could not be served under valgrind")
            told = json.loads(line)
            pids = list(told["pids"])
            for pid in told["pids"]:
                pids += [child.pid for child in psutil.Process(pid).children(recursive=True)]
            yield tuple(told["address"]), pids
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()


def ask(address: tuple[str, int], request: Request, times: int) -> None:
    """Answers of 200, on one connection if the server keeps it."""
    connection = http.client.HTTPConnection(*address, timeout=START)
    for _ in range(times):
        connection.request(request.method, request.path, body=request.body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{request.path}: {answer.status}")
    connection.close()


def control(option: str, pids: Sequence[int]) -> None:
    for pid in pids:
        subprocess.run(
            ["callgrind_control", *option.split(), str(pid)], check=True, capture_output=True
        )


def counted(folder: Path, pids: Sequence[int]) -> int:
    """Instructions in what was dumped last; the dumps are removed."""
    control("-d", pids)
    total = 0
    for pid in pids:
        for path in folder.glob(f"out.{pid}.*"):
            total += sum(map(int, _TOTALS.findall(path.read_text("utf-8", "replace"))[-1:]))
            path.unlink()
    return total


def measured(server: str, side: str) -> dict[str, float]:
    """By body: instructions per request."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fidelity_app.py").write_text(APP, "utf-8")
        with counting(server, side, folder) as (address, pids):
            control("-i on", pids)
            found = {}
            for body, request in BODIES.items():
                ask(address, request, REQUESTS)
                counted(folder, pids)
                ask(address, request, REQUESTS)
                found[body] = counted(folder, pids) / REQUESTS
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="*", default=list(own_commands("app:app")))
    parser.add_argument("--hold", choices=["lab", "command"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        hold(given.servers[0], given.hold)
        return
    say(f"{machine()}; {REQUESTS} requests each\n")
    say(f"| server | {' | '.join(BODIES)} |\n|---|{'---|' * len(BODIES)}")
    for server in given.servers:
        lab, command = measured(server, "lab"), measured(server, "command")
        cells = (
            f"{lab[body] / command[body]:.3f} ({lab[body] / 1000:.0f} / {command[body] / 1000:.0f})"
            for body in BODIES
        )
        say(f"| {server} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
