"""The lab against each server's own command, on the same app: rate, and CPU per request.

    python benchmarks/fidelity.py                    # five rounds of 1 s, a few minutes
    python benchmarks/fidelity.py --short            # three rounds of 0.4 s
    python benchmarks/fidelity.py waitress gunicorn
    python benchmarks/fidelity.py --control uwsgi    # the command against itself: the noise

Both are up at the same time and measured in turn (A B, B A, ...); what is quoted is the median of
the ratios of the rounds, with the smallest and largest. The table is kept in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path

from common import machine, say

from pytest_winserve import Lab, Request, Site
from pytest_winserve.errors import WinserveError

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.kit.own_commands import own_commands

GOAL = 0.95
USERS = 10
APP = """
import tempfile
from flask import Flask, Response, request, send_file

application = Flask(__name__)
file = tempfile.NamedTemporaryFile()
file.write(bytes(1 << 20))
file.flush()

@application.get("/")
@application.get("/short")
def short():
    return "x" * 200

@application.get("/long")
def long():
    return bytes(1 << 20)

@application.get("/generator")
def generator():
    return Response((b"x" * 1000 for _ in range(100)), mimetype="text/plain")

@application.get("/file")
def sent():
    return send_file(file.name, mimetype="application/octet-stream")

@application.post("/upload")
def upload():
    return str(len(request.get_data()))
"""
BODIES: Mapping[str, Request] = {
    "200 bytes": Request("/short"),
    "1 MB": Request("/long"),
    "generator, 100 x 1 kB": Request("/generator"),
    "file, 1 MB": Request("/file"),
    "upload, 100 kB": Request("/upload", method="POST", body=bytes(100_000)),
}


def served(server: str, command: str, lab: Lab) -> Site:
    """The app by the lab, or by the command line of the server `command`."""
    if server == "command":
        return lab.serve(server, command=command, fast="/")
    return lab.serve(server, app="fidelity_app:application", fast="/")


def measured(site: Site, request: Request, seconds: float) -> tuple[float, float]:
    """Answers per second, and CPU seconds of the site per answer."""
    result = site.load(users=USERS, duration=seconds, requests=[request])
    if result.errors or not result.rate:
        raise SystemExit(f"{site.topology}: {request.path}: {result.summary()}")
    cpu = result.site.cpu if result.site is not None else None
    return result.rate, (cpu or 0.0) / result.answered


def cell(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def compare(lab: Site, command: Site, name: str, rounds: int, seconds: float) -> str:
    """A row of the table."""
    request = BODIES[name]
    rates: tuple[list[float], list[float]] = ([], [])
    cpus: tuple[list[float], list[float]] = ([], [])
    for number in range(-1, rounds):
        sides = ((0, lab), (1, command)) if number % 2 else ((1, command), (0, lab))
        for side, site in sides:
            rate, cpu = measured(site, request, seconds)
            if number >= 0:  # the first one warms up
                rates[side].append(rate)
                cpus[side].append(cpu)
    ratios = [a / b for a, b in zip(*rates, strict=True)]
    costs = [a / b for a, b in zip(*cpus, strict=True) if b]
    verdict = "met" if statistics.median(ratios) >= GOAL else "**not met**"
    lab_rate, own_rate = (f"{statistics.median(each):.0f}" for each in rates)
    cost = cell(costs) if costs else "not measured"
    return f"| {name} | {lab_rate} | {own_rate} | {cell(ratios)} | {cost} | {verdict} |"


def main() -> None:
    commands = own_commands("fidelity_app:application")
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="*", default=list(commands))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--control", action="store_true", help="the command against itself")
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    seconds, rounds = (0.4, 3) if given.short else (given.seconds, 5)
    say(f"{machine()}; {rounds} rounds of {seconds:g} s, {USERS} users; load average "
        f"{os.getloadavg()[0]:.1f}\n")  # fmt: skip
    head = "lab, 1/s | its command, 1/s | rate, lab over command | CPU per request | at least 0.95"
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("fidelity_app.py").write_text(APP, "utf-8")
        for server in given.servers:
            say(f"| {server} | {head} |\n|---|---:|---:|---:|---:|---|")
            first = "command" if given.control else server
            try:
                with (
                    served(first, commands[server], Lab()) as lab,
                    served("command", commands[server], Lab()) as command,
                ):
                    for name in BODIES:
                        say(compare(lab, command, name, rounds, seconds))
            except WinserveError as error:
                say(f"{server}: {error}")
            say("")


if __name__ == "__main__":
    main()
