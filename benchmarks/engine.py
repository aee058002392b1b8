"""The built-in engine beside other load tools, on the same nginx that answers `return 200`.

usage: python benchmarks/engine.py [--seconds S] [--rounds N] [--connections C ...]

The server has one core, the tools have another (Linux with two cores or more). The tools run in
turn, round after round; CPU is user and system time of all their processes, over the answers. What
is not installed is left out and named: wrk, ab (apache2-utils), hey, locust.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common import machine, say

from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.plan import Plan
from pytest_winserve.ports import claim_port

GOALS = {"wrk": 1.25}
"""The engine's CPU per request, at most so many times a tool's."""
TOOLS_CORE, SERVER_CORE = {0}, {1}

NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log error.log;
events {{ worker_connections 16000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
    server {{ listen 127.0.0.1:{port} backlog=16000; location / {{ return 200 "hello\\n"; }} }}
}}
"""
LOCUST = """
from locust import FastHttpUser, task
class User(FastHttpUser):
    @task
    def get(self):
        self.client.get("/", headers={headers})
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool: answers, microseconds of CPU for each, answers per second, and the
    latencies that it reports, in milliseconds."""

    answers: int
    cpu: float
    rate: float | None
    p50: float | None
    p99: float | None
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    port: int
    connections: int
    seconds: int
    keepalive: bool

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def builtin(load: Load) -> Run:
    plan = Plan.make(
        users=load.connections, duration=load.seconds, path="/", keepalive=load.keepalive
    )
    result = get_engine("builtin").run(plan, Target(load.url.rstrip("/")), lambda _: None)
    assert sum(result.outcomes.values()) == result.sent
    return Run(
        result.answered, 0, result.rate,
        _ms(result.total.percentile(50)), _ms(result.total.percentile(99)), result.errors,
    )  # fmt: skip


def wrk(load: Load) -> Run:
    close = [] if load.keepalive else ["-H", "Connection: close"]
    out = _output("wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--latency", *close,
                  load.url)  # fmt: skip
    answers = int(_find(r"(\d+) requests in", out))
    return Run(answers, 0, float(_find(r"Requests/sec:\s+([\d.]+)", out)),
               _time(_find(r"50%\s+(\S+)", out)), _time(_find(r"99%\s+(\S+)", out)))  # fmt: skip


def ab(load: Load) -> Run:
    with tempfile.NamedTemporaryFile(suffix=".csv") as table:
        out = _output("ab", "-q", "-r", f"-c{load.connections}", f"-t{load.seconds}",
                      "-n5000000", f"-e{table.name}", *(["-k"] if load.keepalive else []),
                      load.url)  # fmt: skip
        rows = Path(table.name).read_text("utf-8").splitlines()
    percentiles = dict(row.split(",") for row in rows[1:])
    return Run(int(_find(r"Complete requests:\s+(\d+)", out)), 0,
               float(_find(r"Requests per second:\s+([\d.]+)", out)),
               float(percentiles["50"]), float(percentiles["99"]),
               int(_find(r"Failed requests:\s+(\d+)", out)))  # fmt: skip


def hey(load: Load) -> Run:
    out = _output("hey", "-z", f"{load.seconds}s", "-c", str(load.connections),
                  *([] if load.keepalive else ["-disable-keepalive"]), load.url)  # fmt: skip
    return Run(int(_find(r"\[200\]\s+(\d+) responses", out)), 0,
               float(_find(r"Requests/sec:\s+([\d.]+)", out)),
               1000 * float(_find(r"50%+ in ([\d.]+)", out)),
               1000 * float(_find(r"99%+ in ([\d.]+)", out)))  # fmt: skip


def locust(load: Load) -> Run:
    headers = {} if load.keepalive else {"Connection": "close"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "locustfile.py"
        file.write_text(LOCUST.format(headers=headers), "utf-8")
        out = _output("locust", "-f", str(file), "--headless", "--json", "-u",
                      str(load.connections), "-r", str(load.connections), "-t",
                      f"{load.seconds}s", "-H", load.url.rstrip("/"))  # fmt: skip
    (entry,), _ = json.JSONDecoder().raw_decode(out[out.index("[\n") :])
    answers = entry["num_requests"] - entry["num_failures"]
    return Run(answers, 0, answers / load.seconds, None, None, entry["num_failures"])


TOOLS: dict[str, Callable[[Load], Run]] = {
    "builtin": builtin, "wrk": wrk, "ab": ab, "hey": hey, "locust": locust,
}  # fmt: skip


def measured(tool: Callable[[Load], Run], load: Load) -> Run:
    """Run a tool with its CPU."""
    before = _cpu()
    run = tool(load)
    spent = _cpu() - before
    return Run(run.answers, spent / run.answers * 1e6, run.rate, run.p50, run.p99, run.errors)


@contextmanager
def server() -> Iterator[int]:
    """nginx with one worker on a core of its own; gives its port."""
    claim = claim_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "nginx.conf").write_text(NGINX.format(port=claim.number), "utf-8")
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([nginx, "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
        os.sched_setaffinity(process.pid, SERVER_CORE)
        try:
            while not (Path(folder) / "nginx.pid").exists():
                time.sleep(0.02)
            for child in (
                Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            ):
                os.sched_setaffinity(int(child), SERVER_CORE)
            yield claim.number
        finally:
            process.terminate()
            process.wait()
            claim.release()


def compare(load: Load, rounds: int) -> None:
    """Measure every tool that is there, and print a row for each."""
    names = [name for name in TOOLS if name == "builtin" or shutil.which(name)]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            runs[name].append(measured(TOOLS[name], load))
            time.sleep(0.5)
    kind = "keep-alive" if load.keepalive else "one connection per request"
    say(f"\n{load.connections} connections, {kind}, {rounds} x {load.seconds} s")
    say(f"{'tool':10}{'us CPU/request':>16}{'x wrk':>8}{'rate /s':>10}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'errors':>8}")  # fmt: skip
    for name in names:
        ratios = [a.cpu / b.cpu for a, b in zip(runs[name], runs.get("wrk", []), strict=False)]
        say(f"{name:10}{_middle(r.cpu for r in runs[name]):16.1f}"
            f"{f'{statistics.median(ratios):.2f}' if ratios else '-':>8}"
            f"{_shown(r.rate for r in runs[name]):>10}"
            f"{_shown(r.p50 for r in runs[name]):>9}{_shown(r.p99 for r in runs[name]):>9}"
            f"{sum(r.errors for r in runs[name]):8}")  # fmt: skip


def _middle(values: Iterator[float]) -> float:
    return statistics.median(values)


def _shown(values: Iterator[float | None]) -> str:
    found = [value for value in values if value is not None]
    return f"{statistics.median(found):.2f}" if found else "-"


def _cpu() -> float:
    found = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"no {pattern!r} in:\n{text}")
    return match[1]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _time(text: str) -> float:
    """wrk's way of writing a time, in milliseconds."""
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise SystemExit(f"no time: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[100, 1000, 10_000])
    given = parser.parse_args()
    os.sched_setaffinity(0, TOOLS_CORE)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    say(machine())
    missing = [name for name in TOOLS if name != "builtin" and not shutil.which(name)]
    if missing:
        say(f"not installed, left out: {', '.join(missing)}")
    with server() as port:
        for connections in given.connections:
            for keepalive in (True, False):
                compare(Load(port, connections, given.seconds, keepalive), given.rounds)


if __name__ == "__main__":
    main()
