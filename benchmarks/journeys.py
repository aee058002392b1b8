"""What a step of a journey costs the built-in engine, beside a plain request and beside Locust.

usage: python benchmarks/journeys.py [--seconds S] [--rounds N] [--users N] [--locust PATH]
                                     [--many N]

nginx plays a site with a login: a page with a token and a cookie that differ each time, a form that
is answered by a redirect and another cookie, a page of 4 KB with a text that is looked for. CPU is
user and system time of all processes of a tool for each answer, less that of its start. Locust's
users do the same with FastHttpUser and a pattern. Memory is what one user more takes, of `--many`
of them (10,000) that walk and think. Exit status 1 when a goal is missed. POSIX only.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from common import machine, say

from pytest_winserve import Journey, Step
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines.builtin import BuiltinEngine
from pytest_winserve.load.plan import Plan
from pytest_winserve.system.ports import claim_port

assert sys.platform != "win32", "Windows does not count the processor time of children"

MOST_TIMES_PLAIN, LEAST_TIMES_LESS = 4.0, 5.0
PATTERN = 'name="csrf_token" value="([^"]+)"'
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 40000; pid nginx.pid; error_log error.log;
events {{ worker_connections 30000; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 75s; default_type text/html;
    map $request_method $posted {{ default 0; POST 1; }}
    server {{
        listen 127.0.0.1:{port} backlog=16000;
        location = /login {{
            add_header Set-Cookie "session=$request_id; HttpOnly; Path=/" always;
            if ($posted) {{ return 302 /orders; }}
            return 200 '<form><input name="csrf_token" value="$request_id">{filler}</form>';
        }}
        location / {{ return 200 "{filler}<h1>Your orders</h1>{filler}"; }}
        location = /plain {{ return 200 "hello"; }}
    }}
}}
"""
LOCUST = """
import re
from locust import FastHttpUser, constant, events, task
TOKEN = re.compile(r'''{token}''')
class User(FastHttpUser):
    wait_time = constant(0)
    @task
    def walk(self):
        csrf = TOKEN.search(self.client.get("/login").text)[1]
        form = {{"username": "ann", "password": "secret", "csrf_token": csrf}}
        self.client.post("/login", data=form, allow_redirects=False)
        with self.client.get("/orders", catch_response=True) as answer:
            if "Your orders" not in answer.text:
                answer.failure("not there")
@events.quitting.add_listener
def tell(environment, **_):
    total = environment.stats.total
    print("answers", total.num_requests - total.num_failures, flush=True)
"""
JOURNEY = Journey(
    "order",
    [
        Step(get="/login", take={"csrf": PATTERN}),
        Step(
            post="/login",
            form={"username": "{user}", "password": "{password}", "csrf_token": "{csrf}"},
            expect={"status": 302},
        ),
        Step(get="/orders", expect={"text": "Your orders"}),
    ],
    data=[{"user": "ann", "password": "secret"}],
)


@contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """A server as described above; its port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin") or "nginx"
    port = claim_port()
    (folder / "nginx.conf").write_text(NGINX.format(port=port.number, filler="x" * 2000))
    process = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"])
    try:
        for _ in range(100):
            if (folder / "nginx.pid").exists():
                break
            time.sleep(0.05)
        yield port.number
    finally:
        process.terminate()
        process.wait()
        port.release()


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def each(run: Callable[[float], int], seconds: float) -> float:
    """Microseconds of CPU for each answer of a tool."""
    spent, answers = [], []
    for length in (0.5, seconds):
        before = cpu()
        answers.append(run(length))
        spent.append(cpu() - before)
    return (spent[1] - spent[0]) / (answers[1] - answers[0]) * 1e6


def memory_of(plan: Plan, target: Target) -> float:
    """The largest sum in bytes of what the engine's workers have resident."""
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.25):
            now = 0
            for process in psutil.Process().children():
                with suppress(psutil.Error):  # one that has just ended
                    if any("builtin.worker" in word for word in process.cmdline()):
                        now += process.memory_info().rss
            most = max(most, now)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = BuiltinEngine(workers=1).run(plan, target)
    finally:
        over.set()
        watcher.join()
    assert result.errors == 0, result.summary()
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--locust", default="locust")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, nginx(Path(name)) as port:
        target = Target(f"http://127.0.0.1:{port}")
        (Path(name) / "locustfile.py").write_text(LOCUST.format(token=PATTERN))

        def builtin(seconds: float, journeys: list[Journey] | None) -> int:
            path = None if journeys else "/plain"
            plan = Plan.make(users=given.users, duration=seconds, path=path, journeys=journeys)
            result = BuiltinEngine(workers=1).run(plan, target)
            assert result.errors == 0, result.summary()
            return result.answered

        def locust(seconds: float) -> int:
            words = [
                "-f",
                f"{name}/locustfile.py",
                "--headless",
                "-H",
                target.url,
                "--only-summary",
            ]
            length = [f"-u{given.users}", f"-r{given.users}", f"-t{max(2, round(seconds))}s"]
            done = subprocess.run(
                [given.locust, *words, *length], capture_output=True, text=True, check=True
            )
            found = re.search(r"answers (\d+)", done.stdout)
            assert found is not None, done.stderr
            return int(found[1])

        tools: dict[str, Callable[[float], int]] = {
            "a plain request": lambda seconds: builtin(seconds, None),
            "a step": lambda seconds: builtin(seconds, [JOURNEY]),
        }
        if shutil.which(given.locust):
            tools["a step by Locust"] = locust
        else:
            say("left out: Locust (name its program by --locust)")
        found: dict[str, list[float]] = {tool: [] for tool in tools}
        for _ in range(given.rounds):
            for tool, run in tools.items():
                found[tool].append(each(run, given.seconds * (3 if run is locust else 1)))
        say(machine())
        for tool, values in found.items():
            low, high = min(values), max(values)
            say(f"{tool:20} {statistics.median(values):8.1f} us ({low:.1f} to {high:.1f})")
        goals = [("a step", "a plain request", MOST_TIMES_PLAIN)]
        if "a step by Locust" in found:
            goals.append(("a step", "a step by Locust", 1 / LEAST_TIMES_LESS))
        missed = False
        for one, other, most in goals:
            ratio = statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))
            missed = missed or ratio > most
            word = "met" if ratio <= most else "MISSED"
            say(f"{one} / {other}: {ratio:.2f} (goal: at most {most:.2f}) {word}")
        if given.many:
            few = given.many // 10
            for name_of, journeys in (("a plain user", None), ("a journey's user", [JOURNEY])):
                sizes = [
                    memory_of(
                        Plan.make(
                            users=n,
                            duration=12,
                            think_time=4,
                            timeout=30,
                            path=None if journeys else "/plain",
                            journeys=journeys,
                        ),
                        target,
                    )
                    for n in (few, given.many)
                ]
                one_more = (sizes[1] - sizes[0]) / (given.many - few)
                say(f"{name_of}, of {given.many}: {one_more / 1024:.2f} KiB of memory")
    sys.exit(missed)


if __name__ == "__main__":
    main()
