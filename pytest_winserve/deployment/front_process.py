"""The front of this machine: the process of a reverse proxy, and what its log says."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytest_winserve.deployment.contract import Spec
from pytest_winserve.deployment.readiness import answer_of_app
from pytest_winserve.errors import StartError
from pytest_winserve.fronts import Front
from pytest_winserve.load.results.ledger import FrontCounts
from pytest_winserve.system.keeper import Keeper
from pytest_winserve.system.ports import ClaimedPort, claim_port
from pytest_winserve.system.program import Deadline, Program, tail
from pytest_winserve.tags import BACKEND_HEADER
from pytest_winserve.webservers.program import FrontBinary

PORT_TRIES = 5
LOOK_EVERY = 0.005
STOP_SECONDS = 5.0


class FrontProcess:
    """A front and its program, with its files in the deployment's folder."""

    def __init__(self, front: Front, binary: FrontBinary) -> None:
        self.binary = binary
        self.program: Program | None = None
        self._front = front
        self._log = FrontLog()
        self._claim: ClaimedPort | None = None
        self._folder = Path()

    @property
    def port(self) -> int:
        """The port that it was started on."""
        assert self._claim is not None
        return self._claim.number

    def start(
        self,
        keeper: Keeper,
        spec: Spec,
        folder: Path,
        environment: Mapping[str, str],
        backends: Sequence[str],
        look: Callable[[], None],
        deadline: Deadline,
    ) -> None:
        """Start it before the backends' addresses, and return when it listens.

        `look` raises when something else that should run does not. Raises StartError.
        """
        self._folder = folder
        if spec.certificate is not None:
            spec.certificate.write(folder)
        for attempt in range(PORT_TRIES):
            self._claim = claim_port(spec.port, spec.listen)
            command = self._front.prepare(
                self.binary,
                folder,
                (spec.listen.address, self._claim.number),
                backends,
                spec.topology.all_front_options,
            )
            self.program = Program(self._front.name, command, folder, dict(environment), folder)
            self.program.start(keeper)
            try:
                while not self._front.listening(folder):
                    look()
                    self.check()
                    if not deadline.left:
                        raise StartError(
                            self.program.blame(f"{self._front.name} did not listen in time")
                        )
                    time.sleep(LOOK_EVERY)
            except StartError:
                taken = self._front.port_taken(folder)
                last = attempt == PORT_TRIES - 1 or not deadline.left
                if not taken or spec.port or last:
                    raise
                # Somebody was faster; the next port then.
                self.program.ask_to_stop()
                self._claim.release()
                self._front.error_log(folder).unlink(missing_ok=True)
            else:
                return

    def check(self) -> None:
        """Raise StartError when it does not run any more."""
        assert self.program is not None
        death = self.program.death()
        if death is not None:
            said = tail(self._front.error_log(self._folder)).strip()
            more = f"\n  its error log:\n{said}" if said and said not in self.program.tail() else ""
            raise StartError(self.program.blame(f"{death} while starting") + more)

    def wait_for_answer(
        self, spec: Spec, mark: str | None, look: Callable[[], None], deadline: Deadline
    ) -> None:
        """Return when it answers the first request, from a backend whose mark begins with `mark`,
        if one is given. Raises StartError, StartTimeout."""
        assert self.program is not None

        def check() -> None:
            look()
            self.check()

        answer = answer_of_app(self.port, spec, deadline, check, self.program, spec.trust)
        if mark is not None and not answer.headers.get(BACKEND_HEADER.lower(), "").startswith(mark):
            raise StartError(
                f"port {self.port} is answered by somebody else, not by "
                f"{self.program.name} of this run (status {answer.status})"
            )

    def deaths(self) -> list[str]:
        """Which of the processes that it has started by itself died, and how."""
        return self._front.deaths(self._folder)

    def counts(self, tag: str) -> FrontCounts:
        """What its log holds for `tag`."""
        self._log.read(self._front, self._front.access_log(self._folder))
        return self._log.of(tag)

    def logs(self) -> dict[str, Path]:
        """Its logs by name, once it was started."""
        if self.program is None:
            return {}
        name = self._front.name
        return {name: self._front.error_log(self._folder), f"{name} output": self.program.log}

    def ask_to_stop(self) -> None:
        """Have it end, by its own command where there is one."""
        if self.program is None:
            return
        self.program.ask_to_stop()
        command = self._front.quit_command(self.binary, self._folder)
        if command is None or self.program.exit_code() is not None:
            self.program.terminate()
        else:
            subprocess.run(
                command, cwd=self._folder, check=True, timeout=STOP_SECONDS, capture_output=True
            )

    def release(self) -> None:
        """Give its port back."""
        if self._claim is not None:
            self._claim.release()


class FrontLog:
    """The front's access log, counted per tag as far as it has been read."""

    def __init__(self) -> None:
        self._position = 0
        self._statuses: dict[str, Counter[int]] = {}
        self._answered: dict[str, Counter[str]] = {}
        self._unanswered: dict[str, Counter[str]] = {}
        self._own: dict[str, Counter[int]] = {}

    def read(self, front: Front, path: Path) -> None:
        """Take in what has been written since the last time."""
        with path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        lines, newline, _ = data.rpartition(b"\n")
        self._position += len(lines) + len(newline)
        for line in front.read_log(lines.decode("utf-8", "replace").splitlines()):
            self._statuses.setdefault(line.tag, Counter())[line.status] += 1
            if not any(attempt.answered for attempt in line.attempts):
                self._own.setdefault(line.tag, Counter())[line.status] += 1
            for attempt in line.attempts:
                side = self._answered if attempt.answered else self._unanswered
                side.setdefault(line.tag, Counter())[attempt.address] += 1

    def of(self, tag: str) -> FrontCounts:
        return FrontCounts(
            self._statuses.get(tag, Counter()),
            self._answered.get(tag, Counter()),
            self._unanswered.get(tag, Counter()),
            self._own.get(tag, Counter()),
        )
