"""The built-in engine: worker processes, started together, merged into one result.

The protocol with a worker is JSON lines. Engine to worker: the job; "warm" when there is a warm-up;
"go". Worker to engine: ready; warm; progress once a second with everything so far; final. Workers
begin together, and a worker whose standard input closes ends: a killed engine leaves nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from pytest_winserve.errors import LoadError, UsageError
from pytest_winserve.load import limits
from pytest_winserve.load.fast import FAST_LOOP
from pytest_winserve.load.merge import added
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.queues import syn_retries
from pytest_winserve.load.reports import Report, result_of
from pytest_winserve.load.result import Result

START_SECONDS = 60.0
"""How long a worker may take until it is ready: importing, on a busy machine."""
GRACE_SECONDS = 20.0
"""How much later than its plan says, or how long silent, a worker may be before it is killed."""
USERS_PER_WORKER = 1000
RESOLVE_SECONDS = 2.0
"""How long one of several addresses of a name may take to let us connect."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send a load: `url` is "http://HOST:PORT".

    Counted requests carry `X-Winserve: <tag>` and those of the warm-up `<warmup_tag>`, when given.
    Answers of a backend carry `X-Winserve-Backend: <nonce>.<index>`; one with another nonce than
    the given one is a "bad_response", as it came from somebody else's server.
    """

    url: str
    tag: str | None = None
    warmup_tag: str | None = None
    nonce: str | None = None

    def __post_init__(self) -> None:
        self.address()
        for name in ("tag", "warmup_tag", "nonce"):
            value = getattr(self, name)
            if value is not None and not (value.isascii() and value.isprintable() and value):
                raise UsageError(f"{name}={value!r}: printable ASCII is needed")

    def address(self) -> tuple[str, int]:
        """Host and port of the url; UsageError when it is not http://HOST:PORT."""
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if (
            not host
            or parts.scheme != "http"
            or parts.path not in {"", "/"}
            or parts.query
            or parts.fragment
            or parts.username is not None
        ):
            raise UsageError(
                f"url={self.url!r}: 'http://HOST:PORT' is needed; the path belongs to the plan"
            )
        return host, 80 if port is None else port


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: `elapsed` s since the start, and counts over all workers so far."""

    elapsed: float
    sent: int
    outcomes: Mapping[str, int]
    dropped: int


class Engine(Protocol):
    """What sends a plan. `run` blocks until every request is accounted for."""

    @property
    def name(self) -> str: ...

    def ready(self) -> str:
        """What it is, with its version, when it can run here.

        MissingComponent when something is not installed, UsageError where it never runs.
        """

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result: ...


class BuiltinEngine:
    """Sends from processes of its own, never from the calling one.

    `workers` is their number: by default one per 1000 users, at most one per core.
    """

    name = "builtin"

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers={workers}: a whole number >= 1 is needed")
        self._workers = workers

    def ready(self) -> str:
        """With what its workers wait for answers."""
        if FAST_LOOP is None:
            return "with epoll"
        found = importlib.util.find_spec(FAST_LOOP) is not None
        return f"with {FAST_LOOP}" if found else f"without {FAST_LOOP} (slower)"

    def run(
        self,
        plan: Plan,
        target: Target,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Result:
        """Run to the end; the result is marked when workers were lost on the way.

        UsageError when this machine cannot connect as many users (`limits.check`), LoadError when
        a worker did not even start, or all were lost before they reported.
        KeyboardInterrupt, like any error of `on_progress`, stops the workers at once and passes.
        """
        n = self._workers or min(os.cpu_count() or 1, math.ceil(plan.users / USERS_PER_WORKER))
        plans = plan.split(n)
        limits.check(plan, plans)
        address = resolve(target)
        netloc = urlsplit(target.url).netloc
        jobs = [
            {
                "plan": share.to_dict(),
                "address": address,
                "host": netloc,
                "tag": target.tag,
                "warmup_tag": target.warmup_tag,
                "nonce": target.nonce,
                "index": i,
                "of": len(plans),
            }
            for i, share in enumerate(plans)
        ]
        with _Crew(jobs) as crew:
            crew.await_all("ready", START_SECONDS)
            limits.check_sockets(plans, crew.sockets())
            if plan.warmup:
                crew.tell("warm")
                crew.await_all("warm", plan.warmup + plan.timeout + GRACE_SECONDS)
            host = limits.HostCpu()
            crew.tell("go")
            crew.follow(longest_run(plans), on_progress)
            busy = host.share()
            reports, lost = crew.reports(), crew.lost
            if not reports:
                raise LoadError(f"every load worker was lost\n{crew.log_tail()}")
        return result_of(
            self.name, plan, target.url, reports, len(plans), lost, busy, syn_retries()
        )


def resolve(target: Target) -> tuple[str, int]:
    """The target's address and port. LoadError when its name is not known.

    A name may have several addresses, and the server listen on one of them (localhost is often ::1
    first): then it is the first that takes a connection, which is closed again.
    """
    # Once, here: a name looked up for every connection would measure the resolver.
    host, port = target.address()
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LoadError(f"{target.url}: cannot resolve {host!r}: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    for address in addresses if len(addresses) > 1 else ():
        with (
            contextlib.suppress(OSError),
            socket.create_connection((address, port), timeout=RESOLVE_SECONDS),
        ):
            return address, port
    return addresses[0], port


def longest_run(plans: Iterable[Plan]) -> float:
    """Seconds after which every worker has ended, unless something hangs; see GRACE_SECONDS."""
    longest = 0.0
    for plan in plans:
        ends = []
        if plan.seconds is not None:
            ends.append(plan.seconds)
        if plan.count is not None:
            # The slowest possible: every user's requests time out one after the other.
            rounds = math.ceil(plan.count / plan.users)
            each = plan.timeout + max(1.0, plan.think_time)
            pace = plan.count / plan.connect_rate if plan.connect_rate else 0.0
            pace += plan.count / plan.rate if plan.rate else 0.0
            ends.append(rounds * each + pace)
        longest = max(longest, min(ends) + plan.timeout)
    return longest


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[str]
    stdin: IO[str]
    reader: threading.Thread
    report: Report
    heard: float
    said: str = ""
    sockets: int | None = None
    done: bool = False
    lost: bool = False


class _Crew:
    """The worker processes of one run; leaving the context ends every one of them."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._messages: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> _Crew:
        try:
            for index, job in enumerate(self._jobs):
                self._spawn(index, job)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _spawn(self, index: int, job: dict[str, Any]) -> None:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            # -P: nothing in the current directory may stand in for a module of the worker.
            [sys.executable, "-P", "-m", "pytest_winserve.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            encoding="utf-8",
        )
        assert process.stdin
        assert process.stdout
        reader = threading.Thread(target=self._read, args=(index, process.stdout), daemon=True)
        worker = _Worker(process, process.stdin, reader, Report(), perf_counter())
        self._workers.append(worker)
        reader.start()
        self._say(worker, json.dumps(job))

    def _read(self, index: int, stdout: IO[str]) -> None:
        # A thread per worker drains its pipe, so that no worker ever waits for the engine.
        try:
            for line in stdout:
                self._messages.put((index, json.loads(line)))
        except ValueError:
            pass  # a line cut short by a kill: the end of the stream is all there is to know
        finally:
            self._messages.put((index, None))

    @staticmethod
    def _say(worker: _Worker, line: str) -> None:
        try:
            worker.stdin.write(line + "\n")
            worker.stdin.flush()
        except OSError:
            pass  # it has died; its reader says so

    def tell(self, line: str) -> None:
        now = perf_counter()
        for worker in self._workers:
            worker.heard = now
            self._say(worker, line)

    def _next(self) -> bool:
        """Handle a message, or wait a moment; False when there was none."""
        try:
            # Short, because on Windows a waiting lock does not see Ctrl-C.
            index, message = self._messages.get(timeout=0.1)
        except queue.Empty:
            return False
        worker = self._workers[index]
        if message is None:
            worker.lost = not worker.done
            worker.done = True
            return True
        worker.heard = perf_counter()
        worker.said = message["type"]
        worker.sockets = message.get("sockets", worker.sockets)
        if worker.said in {"progress", "final"}:
            worker.report.take(message)
        worker.done = worker.done or worker.said == "final"
        return True

    def await_all(self, word: str, seconds: float) -> None:
        """Wait until every worker said a word; LoadError when one died or took too long."""
        deadline = perf_counter() + seconds
        while not all(worker.said == word for worker in self._workers):
            self._next()
            if self.lost:
                raise LoadError(f"a load worker died before the load began\n{self.log_tail()}")
            if perf_counter() > deadline:
                raise LoadError(
                    f"a load worker did not say {word!r} in {seconds:.0f} s\n{self.log_tail()}"
                )

    def follow(self, longest: float, on_progress: Callable[[Progress], None] | None) -> None:
        """Until every worker is done or lost. One that is silent or too late is killed."""
        began = perf_counter()
        while not all(worker.done for worker in self._workers):
            heard = self._next()
            now = perf_counter()
            for worker in self._workers:
                late = now - began > longest + GRACE_SECONDS
                if not worker.done and (late or now - worker.heard > GRACE_SECONDS):
                    worker.process.kill()  # its reader then sees the end of the stream
            if heard and on_progress:
                on_progress(self._progress(now - began))

    def _progress(self, elapsed: float) -> Progress:
        reports = self.reports()
        return Progress(
            elapsed,
            sum(report.last["sent"] for report in reports if report.last),
            added(report.last["outcomes"] for report in reports if report.last),
            sum(report.last["dropped"] for report in reports if report.last),
        )

    def reports(self) -> list[Report]:
        return [worker.report for worker in self._workers if worker.report.last is not None]

    def sockets(self) -> list[int | None]:
        """How many sockets the loop of each worker can watch; None for no limit."""
        return [worker.sockets for worker in self._workers]

    @property
    def lost(self) -> int:
        return sum(worker.lost for worker in self._workers)

    def log_tail(self, size: int = 4000) -> str:
        """The end of what the workers wrote to their standard error."""
        for worker in self._workers:
            if worker.lost:
                worker.process.wait()  # so that all it wrote is there
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - size))
        codes = [worker.process.poll() for worker in self._workers]
        text = self._log.read().decode("utf-8", "replace").strip()
        return f"exit codes: {codes}\n{text}"

    def _end(self) -> None:
        for worker in self._workers:
            if not worker.done or worker.lost:
                worker.process.kill()
            with contextlib.suppress(OSError):
                worker.stdin.close()  # ends a worker that is still there
        for worker in self._workers:
            try:
                worker.process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.reader.join()
            if worker.process.stdout:
                worker.process.stdout.close()
        self._log.close()
