"""The built-in engine beside other load tools, on the same nginx that answers `return 200`.

usage: python benchmarks/engine.py [--seconds S] [--rounds N] [--connections C ...] [--tools T ...]
                                   [--locust PATH] [--no-agreement] [--tls]

The server has one core, the tools have another (Linux with two cores or more). The tools run in
turn, round after round. CPU is user and system time of all processes of a tool for each answer,
less that of a run of it with next to nothing to send: its start. Memory is the
largest sum of what all of them have resident, seen every quarter of a second; for the built-in
engine that of its worker. Left out and named is what is not installed: wrk, ab (apache2-utils),
hey, tsung; Locust by the path of its program, in an environment of its own. At the end: the goals,
met or not, and whether the tools agree on a server with known delays. With `--tls` it is https,
keep-alive only, by the engine and wrk, with a goal of its own; 100 connections unless given. Exit
status 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import trustme
from common import machine, say

from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.plan import Plan
from pytest_winserve.system.ports import claim_port
from pytest_winserve.system.trust import SYSTEM, Trust

GOALS = {"wrk": 1.25, "tsung": 1 / 4, "locust": 1 / 10}
"""The engine's CPU per request, at most so many times a tool's."""
TLS_GOALS = {"wrk": 1.4}
"""The same over TLS."""
FEW = 100
"""Answers below which nothing is said of the CPU for one."""
AGREEMENT = 0.10
"""How far rate and percentiles may lie from those of another tool, measured side by side."""
TOOLS_CORE, SERVER_CORE = {0}, {1}

NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid nginx.pid; error_log error.log;
events {{ worker_connections 16000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
    server {{ listen 127.0.0.1:{port} backlog=16000{tls} location / {{ return 200 "hello\\n"; }} }}
}}
"""
TLS = " ssl; ssl_certificate site.pem; ssl_certificate_key site.pem;"
TSUNG = """<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "tsung-1.0.dtd">
<tsung loglevel="warning" version="1.0">
  <clients><client host="localhost" use_controller_vm="true" maxusers="30000"/></clients>
  <servers><server host="127.0.0.1" port="{port}" type="tcp"/></servers>
  <load duration="{seconds}" unit="second">
    <arrivalphase phase="1" duration="{seconds}" unit="second">
      <users arrivalrate="{users}" maxnumber="{users}" unit="second"/>
    </arrivalphase>
  </load>
  <options><option name="connect_timeout" value="10000"/></options>
  <sessions>
    <session name="loop" probability="100" type="ts_http">
      <for var="i" from="1" to="{repeat}" incr="1">
        <request><http url="/" method="GET" version="{version}"/></request>
      </for>
    </session>
  </sessions>
</tsung>
"""
LOCUST = """
from locust import FastHttpUser, constant, task
class User(FastHttpUser):
    wait_time = constant({wait})
    @task
    def get(self):
        self.client.get("/", headers={headers})
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a tool: answers, per second, the latencies that it reports in milliseconds, what
    was not answered; and, measured beside it, seconds of CPU and MB of memory."""

    answers: int
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    errors: int = 0
    cpu: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    port: int
    connections: int
    seconds: int
    keepalive: bool
    locust: str = "locust"
    trust: Trust | None = None
    """Over TLS, by these certificates."""
    idle: bool = False
    """One connection, and next to nothing sent over it."""

    @property
    def url(self) -> str:
        return f"http{'s' * (self.trust is not None)}://127.0.0.1:{self.port}/"


def builtin(load: Load) -> Run:
    plan = Plan.make(
        users=load.connections, duration=load.seconds, count=1 if load.idle else None, path="/",
        keepalive=load.keepalive,
    )  # fmt: skip
    target = Target(load.url.rstrip("/"), trust=load.trust or SYSTEM)
    result = BuiltinEngine(workers=1).run(plan, target, lambda _: None)
    assert result.unfinished == 0
    return Run(
        result.answered, result.rate,
        _ms(result.total.percentile(50)), _ms(result.total.percentile(99)), result.errors,
    )  # fmt: skip


def wrk(load: Load) -> Run:
    close = [] if load.keepalive else ["-H", "Connection: close"]
    out = _output("wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--latency", *close,
                  load.url)  # fmt: skip
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout|responses:?) (\d+)", out)))
    return Run(int(_find(r"(\d+) requests in", out)),
               float(_find(r"Requests/sec:\s+([\d.]+)", out)),
               _time(_find(r"(?m)^\s+50%\s+(\S+)", out)),
               _time(_find(r"(?m)^\s+99%\s+(\S+)", out)), errors)  # fmt: skip


def ab(load: Load) -> Run:
    with tempfile.NamedTemporaryFile(suffix=".csv") as table:
        out = _output("ab", "-q", "-r", f"-c{load.connections}", f"-t{load.seconds}",
                      "-n5000000", f"-e{table.name}", *(["-k"] if load.keepalive else []),
                      load.url)  # fmt: skip
        rows = Path(table.name).read_text("utf-8").splitlines()
    percentiles = dict(row.split(",") for row in rows[1:])
    return Run(int(_find(r"Complete requests:\s+(\d+)", out)),
               float(_find(r"Requests per second:\s+([\d.]+)", out)),
               float(percentiles["50"]), float(percentiles["99"]),
               int(_find(r"Failed requests:\s+(\d+)", out)))  # fmt: skip


def hey(load: Load) -> Run:
    out = _output("hey", "-z", f"{load.seconds}s", "-c", str(load.connections),
                  *([] if load.keepalive else ["-disable-keepalive"]), load.url)  # fmt: skip
    errors = sum(map(int, re.findall(r"(?m)^  \[(\d+)\]\tGet", out)))
    return Run(int(_find(r"\[200\]\s+(\d+) responses", out)),
               float(_find(r"Requests/sec:\s+([\d.]+)", out)),
               1000 * float(_find(r"50%+ in ([\d.]+)", out)),
               1000 * float(_find(r"99%+ in ([\d.]+)", out)), errors)  # fmt: skip


def tsung(load: Load) -> Run:
    """tsung with a plan such as its users write; its users come within a second."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.xml"
        plan.write_text(
            TSUNG.format(port=load.port, seconds=load.seconds, users=load.connections,
                         repeat=1 if load.idle else 100_000_000,
                         version="1.1" if load.keepalive else "1.0"), "utf-8")  # fmt: skip
        _output("tsung", "-f", str(plan), "-l", folder, "-n", "-i", f"bench{os.getpid()}", "start")
        (log,) = Path(folder).glob("*/tsung.log")
        text = log.read_text("utf-8")
    answers = max(map(int, re.findall(r"(?m)^stats: 200 \d+ (\d+)", text)), default=0)
    errors = re.findall(r"(?m)^stats: error_(?!abort )\S+ \d+ (\d+)", text)
    return Run(answers, answers / load.seconds, errors=max(map(int, errors), default=0))


def locust(load: Load) -> Run:
    headers = {} if load.keepalive else {"Connection": "close"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "locustfile.py"
        file.write_text(LOCUST.format(headers=headers, wait=60 if load.idle else 0), "utf-8")
        out = _output(load.locust, "-f", str(file), "--headless", "--json", "-u",
                      str(load.connections), "-r", str(load.connections), "-t",
                      f"{load.seconds}s", "-H", load.url.rstrip("/"))  # fmt: skip
    if load.idle and re.search(r"(?m)^\[\]", out):
        return Run(0)  # it did not come to its first request
    (entry,), _ = json.JSONDecoder().raw_decode(out[out.index("[\n") :])
    answers = entry["num_requests"] - entry["num_failures"]
    return Run(answers, answers / load.seconds, errors=entry["num_failures"])


TOOLS: dict[str, Callable[[Load], Run]] = {
    "builtin": builtin, "wrk": wrk, "ab": ab, "hey": hey, "tsung": tsung,
    "locust": locust,
}  # fmt: skip

SLOW_TO_START = ("builtin", "tsung", "locust")
"""The others are C and Go programs, there at once."""


def measured(tool: Callable[[Load], Run], load: Load) -> Run:
    """Run a tool with the CPU and memory of all its processes."""
    others = set(_tree(os.getpid()))
    before = _cpu()
    with _Memory(others) as memory:
        run = tool(load)
    # What a tool left in the background (tsung's script does so) is ours now, and counts as well.
    for pid in set(_children(os.getpid())) - others:
        if _name(pid) != "epmd\n":  # Erlang's directory of names stays, for whoever uses it
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    spent = _cpu() - before
    return replace(run, cpu=spent, memory=memory.most / 1e6)


class _Memory:
    """Bytes resident in all processes below this one but those given, at most."""

    def __init__(self, others: set[int]) -> None:
        self.most = 0
        self._others = others
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            pids = set(_tree(os.getpid())) - self._others - {os.getpid()}
            self.most = max(self.most, sum(map(_resident, pids)))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for child in _children(pid):
        yield from _tree(child)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


@contextmanager
def server(authority: trustme.CA | None = None) -> Iterator[int]:
    """nginx with one worker on a core of its own, over TLS if somebody signs for it; its port."""
    claim = claim_port()
    with tempfile.TemporaryDirectory() as folder:
        conf = NGINX.format(port=claim.number, tls=TLS if authority else ";")
        (Path(folder) / "nginx.conf").write_text(conf, "utf-8")
        if authority is not None:
            signed = authority.issue_cert("127.0.0.1")
            signed.private_key_and_cert_chain_pem.write_to_path(f"{folder}/site.pem")
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


@contextmanager
def delaying() -> Iterator[int]:
    """The server of delays.py, on the server's core; gives its port."""
    command = [sys.executable, str(Path(__file__).with_name("delays.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        os.sched_setaffinity(process.pid, SERVER_CORE)
        yield int(process.stdout.readline())
        process.stdin.close()


def interleaved(names: list[str], load: Load, rounds: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            runs[name].append(measured(TOOLS[name], load))
            time.sleep(0.5)
    return runs


def ratio(a: Iterable[float | None], b: Iterable[float | None]) -> tuple[float, float, float]:
    """Of pairs a / b: the median, the smallest and the largest; NaN without a pair."""
    pairs = [x / y for x, y in zip(a, b, strict=True) if x is not None and y]
    return (statistics.median(pairs), min(pairs), max(pairs)) if pairs else (math.nan,) * 3


def compare(names: list[str], load: Load, rounds: int) -> bool:
    """Measure every tool, print a row for each and the goals; whether all of these are met."""
    idle = replace(load, connections=1, seconds=1, idle=True)
    starts = {name: measured(TOOLS[name], idle).cpu for name in names if name in SLOW_TO_START}
    runs = interleaved(names, load, rounds)
    cpu = {
        name: [
            1e6 * (run.cpu - starts.get(name, 0)) / run.answers if run.answers >= FEW else None
            for run in runs[name]
        ]
        for name in names
    }
    kind = "keep-alive" if load.keepalive else "one connection per request"
    kind += ", TLS" if load.trust is not None else ""
    say(f"\n{load.connections} connections, {kind}, {rounds} x {load.seconds} s")
    say(f"{'tool':10}{'us CPU/request':>16}{'x wrk (smallest, largest)':>28}{'rate /s':>10}"
        f"{'x wrk':>7}{'p50 ms':>9}{'p99 ms':>9}{'MB':>8}{'errors':>8}")  # fmt: skip
    for name in names:
        of_cpu = of_rate = "-"
        if "wrk" in runs:
            of_cpu = "{:.2f} ({:.2f} to {:.2f})".format(*ratio(cpu[name], cpu["wrk"]))
            rates = ratio([r.rate for r in runs[name]], [r.rate for r in runs["wrk"]])
            of_rate = f"{rates[0]:.2f}"
        say(f"{name:10}{_shown(cpu[name], 1):>16}{of_cpu:>28}"
            f"{_shown(r.rate for r in runs[name]):>10}{of_rate:>7}"
            f"{_shown(r.p50 for r in runs[name]):>9}{_shown(r.p99 for r in runs[name]):>9}"
            f"{max(r.memory for r in runs[name]):8.1f}"
            f"{sum(r.errors for r in runs[name]):8}")  # fmt: skip
    met = True
    goals = GOALS if load.trust is None else TLS_GOALS
    for name in [name for name in goals if name in runs]:
        found = ratio(cpu["builtin"], cpu[name])[0]
        met = _judge(f"CPU per request, builtin / {name}", found, goals[name]) and met
    return met


def agree(rounds: int, seconds: int) -> bool:
    """Whether rate and percentiles are those of wrk and ab, where delays are the server's.

    On a server that answers at once, a latency is mostly the queue of the tool itself. ab's raw
    samples have whole milliseconds, which is little beside delays of 40 ms and more.
    """
    names = [name for name in ("builtin", "wrk", "ab") if name == "builtin" or shutil.which(name)]
    with delaying() as port:
        runs = interleaved(names, Load(port, 100, seconds, keepalive=True), rounds)
    say(f"\nAgreement: 100 connections kept, a server with delays, {rounds} x {seconds} s")
    for name in names:
        say(f"{name:10} rate {_shown(r.rate for r in runs[name])} /s"
            f"  p50 {_shown(r.p50 for r in runs[name])} ms"
            f"  p99 {_shown(r.p99 for r in runs[name])} ms")  # fmt: skip
    met = True
    for measure, name in (("rate", "wrk"), ("p50", "ab"), ("p99", "ab")):
        if name in runs:
            mine, theirs = (
                [getattr(run, measure) for run in runs[who]] for who in ("builtin", name)
            )
            found = abs(ratio(mine, theirs)[0] - 1)
            met = _judge(f"{measure}, distance to {name}", found, AGREEMENT) and met
    return met


def _judge(what: str, found: float, goal: float) -> bool:
    met = found <= goal
    word = "NOT MEASURED" if math.isnan(found) else "met" if met else "NOT MET"
    say(f"  {word}: {what} {found:.3f}, at most {goal:.3f}")
    return met


def _shown(values: Iterable[float | None], digits: int = 2) -> str:
    found = [value for value in values if value is not None]
    return f"{statistics.median(found):.{digits}f}" if found else "-"


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


VERSIONS = {
    "wrk": (("wrk", "-v"), r"wrk (\S+)"),
    "ab": (("ab", "-V"), r"Version (\S+)"),
    "hey": (("hey",), ""),  # it does not tell
    "tsung": (("tsung", "-v"), r"(\d[\d.]+)"),
    "locust": (("locust", "-V"), r"locust (\S+)"),
    "nginx": (("nginx", "-v"), r"nginx/(\S+)"),
}


def version(tool: str, path: str) -> str:
    """`tool version`, or the tool alone where it does not tell."""
    command, pattern = VERSIONS[tool]
    return f"{tool} {_find(pattern, _output(path, *command[1:]))}" if pattern else tool


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="*")
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--locust", default="locust", help="its program, of another environment")
    parser.add_argument("--no-agreement", action="store_true", help="leave out the last part")
    parser.add_argument("--tls", action="store_true", help="https, beside wrk")
    given = parser.parse_args()
    connections_of = given.connections or ([100] if given.tls else [100, 1000, 10_000])
    if given.tls:
        given.tools = ["builtin", "wrk"]
    os.sched_setaffinity(0, TOOLS_CORE)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    adopt = 36  # PR_SET_CHILD_SUBREAPER: what a tool leaves in the background becomes ours
    ctypes.CDLL(None).prctl(adopt, 1, 0, 0, 0)
    paths = {name: shutil.which(name) for name in (*VERSIONS,)} | {
        "locust": shutil.which(given.locust)
    }
    tools = dict.fromkeys(["builtin", *given.tools])  # that is whose goals these are
    names = [name for name in tools if name == "builtin" or paths[name]]
    said = [version(name, path) for name, path in paths.items() if path]
    say(f"{machine()}; {', '.join(said)}")
    missing = [name for name in given.tools if name not in names]
    if missing:
        say(f"not installed, left out: {', '.join(missing)}")
    met = True
    authority = trustme.CA() if given.tls else None
    trust = None if authority is None else Trust(authority.cert_pem.bytes().decode())
    with server(authority) as port:
        for connections in connections_of:
            for keepalive in (True,) if given.tls else (True, False):
                load = Load(port, connections, given.seconds, keepalive, given.locust, trust)
                met = compare(names, load, given.rounds) and met
    if not given.no_agreement and not given.tls:
        met = agree(given.rounds, given.seconds) and met
    say(f"load average of the machine at the end: {os.getloadavg()[1]:.1f} over 5 minutes")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
