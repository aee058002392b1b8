"""Runs Locust: a master and workers, processes of their own that end with the load, whatever ends
it. Locust is never imported here: it changes the standard library (gevent) wherever it is.

Locust may be installed beside this package, or apart from it with its program `locust` on the PATH:
then it gets a copy of this package, since the libraries of two environments must not be mixed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from pytest_winserve.errors import LoadError, MissingComponent
from pytest_winserve.load.recording.foreign_programs import end
from pytest_winserve.shipping.contents import PACKAGE, copy_to
from pytest_winserve.system.keeper import new_keeper
from pytest_winserve.system.packages import is_installed
from pytest_winserve.system.process_tag import TAG_VARIABLE
from pytest_winserve.system.program import Program, describe_exit, indent, tail

INSTALL = "pipx install locust"
LOOK_EVERY = 0.1
END_SECONDS = 10.0
"""How long the workers may take to end after their master's word."""
FILE = "locustfile.py"


def find_locust() -> list[str]:
    """The command that starts Locust; MissingComponent without it."""
    # Looked for, not imported: see above.
    if is_installed("locust"):
        return [sys.executable, "-P", "-m", "locust"]
    program = shutil.which("locust")
    if program is None:
        raise MissingComponent(
            "locust", "there is neither a package nor a program 'locust'", INSTALL
        )
    return [program]


def version_of(command: Sequence[str]) -> str:
    """`2.47.0`"""
    done = subprocess.run(
        [*command, "--version"],
        capture_output=True, text=True, check=False, timeout=60, env=_bare_environment(),
    )  # fmt: skip
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and len(words) > 1 else "of an unknown version"


@dataclass(frozen=True, slots=True)
class Machine:
    """Another machine that sends: reached by `ssh HOST`, with `workers` processes there.

    `python` is an interpreter over there that has Locust and this package in this version.
    """

    host: str
    workers: int = 1
    python: str = "python3"

    def command(self, master: str, *options: str) -> list[str]:
        """What starts a worker there, which joins the master at HOST:PORT."""
        there = shlex.join([self.python, "-m", "pytest_winserve.locust_join", master, *options])
        return ["ssh", "-T", "-o", "BatchMode=yes", self.host, there]


@dataclass(frozen=True, slots=True)
class LocustCrew:
    """A master and its workers, started. `lines` is what the master writes for the engine."""

    master: Program
    workers: Sequence[Program]
    lines: Path

    def said(self) -> str:
        """The end of what each of them wrote."""
        parts = []
        for program in (self.master, *self.workers):
            text = "\n".join(filter(None, (tail(program.output, 1500), tail(program.log, 1500))))
            parts.append(f"{program.name}:\n{text.strip() or '(it wrote nothing)'}")
        return indent("\n".join(parts))

    def follow(self, start_seconds: float, longest: float) -> Iterator[Mapping[str, Any]]:
        """What the master says, as it says it, until it has ended well; see `locust_master`.

        LoadError when it does not begin within `start_seconds`, or end within `longest` after
        that, when it ends badly or writes what is not its own, or when a worker is gone before the
        load begins.
        """
        lines = _Lines(self.lines)
        began = ended = False
        deadline = perf_counter() + start_seconds
        while not ended:
            code = self.master.exit_code()  # before reading, so that nothing it wrote is missed
            for message in self._new(lines):
                if message["type"] == "begun":
                    began, deadline = True, perf_counter() + longest
                ended = ended or message["type"] in {"end", "refused"}
                yield message
            if ended:
                break
            if code is not None:
                when = "during the load" if began else "before the load began"
                raise LoadError(f"Locust's master {describe_exit(code)} {when}\n{self.said()}")
            if not began:
                self._look_at_workers()
            if perf_counter() > deadline:
                what = "end in time" if began else f"begin within {start_seconds:.0f} s"
                raise LoadError(f"Locust did not {what}\n{self.said()}")
            self.master.wait(LOOK_EVERY)
        for program in (self.master, *self.workers):
            program.wait(END_SECONDS)

    def _new(self, lines: _Lines) -> list[dict[str, Any]]:
        try:
            return list(lines.new())
        except ValueError as error:
            text = f"Locust's master wrote what it should not: {error}"
            raise LoadError(f"{text}\n{self.said()}") from error

    def _look_at_workers(self) -> None:
        for worker in self.workers:
            if (code := worker.exit_code()) is not None:
                raise LoadError(
                    f"Locust's {worker.name} {describe_exit(code)} before the load began\n"
                    f"{self.said()}"
                )


class _Lines:
    """The lines of a file that is being written; one without its end waits for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """ValueError for what is no JSON, or no message."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._at += len(line)
                message = json.loads(line)
                if not isinstance(message, dict) or "type" not in message:
                    raise ValueError(f"{line!r} is no message")
                yield message


@contextlib.contextmanager
def running(
    folder: Path,
    job: Mapping[str, Any],
    url: str,
    address: tuple[str, int],
    here: int,
    machines: Sequence[Machine],
    others: int,
) -> Iterator[LocustCrew]:
    """Locust for a job, started; everything of it is ended on the way out.

    `address`: where the master listens for workers. `here`: how many of them run on this machine;
    `others`: how many the user starts elsewhere. MissingComponent as `find_locust`.
    """
    command = find_locust()
    tag = f"locust{secrets.token_hex(6)}"
    keeper = new_keeper(tag, folder)
    programs: list[Program] = []
    own = {**_bare_environment(), "HOME": str(folder), "USERPROFILE": str(folder)}
    own |= {TAG_VARIABLE: tag, "LOCUST_WAIT_FOR_WORKERS_REPORT_AFTER_RAMP_UP": "60"}
    if command[0] == sys.executable:
        package = PACKAGE.parent
        own["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package), own.get("PYTHONPATH"))))
    else:
        package = folder / "lib"
        copy_to(package)
        own["PYTHONPATH"] = str(package)
    file = package / PACKAGE.name / "load" / "engines" / "locust" / FILE
    lines = folder / "lines"
    path = folder / "job.json"
    path.write_text(json.dumps({**job, "lines": str(lines)}), "utf-8")
    host, port = address
    workers = here + others + sum(machine.workers for machine in machines)
    join = ["--worker", "--master-host", host, "--master-port", str(port)]
    guarded = "--winserve-guarded"

    def start(name: str, words: Sequence[str], environment: Mapping[str, str]) -> Program:
        made = Program(name, words, folder, environment, folder)
        made.start(keeper)
        programs.append(made)
        return made

    try:
        master = start(
            "master",
            [
                *command, "-f", str(file), "--master", "--headless", "--only-summary",
                "--master-bind-host", host, "--master-bind-port", str(port),
                "--expect-workers", str(workers), "-u", str(job["users"]),
                "-r", str(job["users"]), "--host", url, "--winserve-job", str(path), guarded,
            ],
            own,
        )  # fmt: skip
        for i in range(here):
            start(f"worker-{i}", [*command, "-f", str(file), *join, guarded], own)
        for machine in machines:
            for i in range(machine.workers):
                words = machine.command(f"{host}:{port}", guarded)
                start(f"worker-{machine.host}-{i}", words, {**os.environ, TAG_VARIABLE: tag})
        yield LocustCrew(master, programs[1:], lines)
    finally:
        end(keeper, programs, "Locust")


def _bare_environment() -> dict[str, str]:
    """This process' environment without Locust's own settings: the plan alone decides."""
    return {name: text for name, text in os.environ.items() if not name.startswith("LOCUST_")}
