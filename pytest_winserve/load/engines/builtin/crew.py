"""The worker processes of the built-in engine, from their start to their last report."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from pytest_winserve.errors import LoadError
from pytest_winserve.load.engine import GRACE_SECONDS, Progress
from pytest_winserve.load.recording.merge import added
from pytest_winserve.load.recording.worker_reports import WorkerReport


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[str]
    stdin: IO[str]
    reader: threading.Thread
    report: WorkerReport
    heard: float
    said: str = ""
    sockets: int | None = None
    done: bool = False
    lost: bool = False


class WorkerCrew:
    """The worker processes of one run; leaving the context ends every one of them."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._messages: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> WorkerCrew:
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
        root = str(Path(__file__).resolve().parents[4])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(
            # -P: nothing in the current directory may stand in for a module of the worker.
            [sys.executable, "-P", "-m", "pytest_winserve.load.engines.builtin.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            encoding="utf-8",
        )
        assert process.stdin
        assert process.stdout
        reader = threading.Thread(target=self._read, args=(index, process.stdout), daemon=True)
        worker = _Worker(process, process.stdin, reader, WorkerReport(), perf_counter())
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

    def reports(self) -> list[WorkerReport]:
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
