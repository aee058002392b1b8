"""A topology as running processes on the machine where this code runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve import errors
from pytest_winserve.deployment import READY_RUN, BackendInfo, Spec
from pytest_winserve.errors import StartError, StartTimeout
from pytest_winserve.fronts import Front, FrontBinary, get_front
from pytest_winserve.instrument import BACKEND_HEADER, REQUEST_HEADER, TOTALS, lab_tag, read_counts
from pytest_winserve.keepers import TAG_VARIABLE, Keeper, new_keeper
from pytest_winserve.load.ledger import BackendCounts, FrontCounts
from pytest_winserve.load.usage import SiteUsage
from pytest_winserve.ports import ADDRESS, Address, ClaimedPort, bound_socket, claim_port
from pytest_winserve.process import Deadline, Program, tail
from pytest_winserve.ready import Answer, first_answer
from pytest_winserve.servers import get_server, require_server, server_module
from pytest_winserve.temporary import LabFolder

if TYPE_CHECKING:
    from pytest_winserve.sampler import Sampler
    from pytest_winserve.sender import Sender

STOP_SECONDS = 5.0
LAST_WORDS_SECONDS = 2.5
SETTLE_SECONDS = 0.5
PORT_TRIES = 5
LOOK_EVERY = 0.005
LEAST_ROOM = 1_000_000
NOT_INHERITED = ("ngx_unique", "NGINX")  # they would change how nginx starts


@dataclass(slots=True)
class _Backend:
    """A backend's program and what it has told so far."""

    index: int
    program: Program
    counters: Path
    failure: Path
    told: dict[str, Any] = field(default_factory=dict)
    _read: int = 0

    def listen(self) -> dict[str, Any]:
        """All it has told up to now."""
        with self.program.output.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        lines, newline, _ = data.rpartition(b"\n")
        self._read += len(lines) + len(newline)
        for line in lines.splitlines():
            self.told |= json.loads(line)
        return self.told

    def failed(self) -> dict[str, str] | None:
        """What it has told that keeps it from coming up, or a process that its server started."""
        told = self.listen()
        if "error" in told:
            # Its own words first, then its log, where the app's traceback is.
            self.program.wait(1)
            return told | {"trace": self.program.tail()}
        text = self.failure.read_text("utf-8") if self.failure.exists() else ""
        found: dict[str, str] | None = json.loads(text) if text.endswith("\n") else None
        return found

    def check(self) -> None:
        """Raise what keeps it from coming up, if anything does."""
        failed = self.failed()
        if failed is not None:
            kind: type[Exception] = getattr(errors, failed["kind"])
            raise kind(f"{failed['error']}\n{failed['trace']}".strip())
        death = self.program.death()
        if death is not None:
            raise StartError(self.program.blame(f"{death} while starting"))

    def wait_for(self, message: str, deadline: Deadline) -> None:
        """Return when it has told `message`. Raises StartError when it dies or at the deadline."""
        while message not in self.listen():
            self.check()
            if not deadline.left:
                raise StartError(
                    self.program.blame(
                        f"backend {self.index} was not ready in time: it still loads"
                    )
                )
            time.sleep(LOOK_EVERY)


class Processes:
    """The deployment on the machine where this code runs; see `Deployment`."""

    def __init__(self, spec: Spec) -> None:
        topology = spec.topology
        require_server(
            get_server(topology.server), sys.platform, dict(topology.options), nginx=spec.nginx
        )
        if topology.server == "command":
            from pytest_winserve.servers.command import check_command

            check_command(spec.command)
        self._front: Front | None = get_front(topology.front) if topology.front else None
        self.binary: FrontBinary | None = self._front.find(spec.nginx) if self._front else None
        if spec.port:
            spec.listen.check(spec.port)
            bound_socket(spec.port, spec.listen.address).close()
        self.spec = spec
        self.nonce = os.urandom(8).hex()
        self.backends: tuple[BackendInfo, ...] = ()
        self.lost = None
        self._port = 0
        self._backends: list[_Backend] = []
        self._front_program: Program | None = None
        self._front_counts = _FrontLog()
        self._claim: ClaimedPort | None = None
        self._keeper: Keeper | None = None
        self._sampler: Sampler | None = None
        self._files: LabFolder | None = None
        self._folder = Path()

    def start(self) -> None:
        """Bring everything up, or raise and leave nothing behind."""
        self._files = LabFolder.make()
        self._folder = self._files.path
        try:
            self._check_room()
            deadline = Deadline.after(self.spec.start_timeout)
            self._keeper = new_keeper(self.nonce, self._folder)
            for index in range(self.spec.topology.count):
                self._start_backend(index)
            steps = [self._start_front, self._wait_for_backends]
            if self.spec.port:
                # Others know it and may ask at once; a front takes what does not listen yet for
                # down, and answers 502 by itself from then on.
                steps.reverse()
            for step in steps:
                step(deadline)
            if self._front is not None:
                self._wait_for_front(deadline)
        except BaseException:
            self._abandon()
            raise

    @property
    def address(self) -> Address:
        return ADDRESS, self._port

    def reach(self, port: int) -> Address:
        return ADDRESS, port

    def beside(self) -> Sender:
        from pytest_winserve.sender import FromHere

        return FromHere(self)

    # -- what it knows while it runs ------------------------------------------------------------

    def deaths(self) -> list[str]:
        """Which of its processes died, and how."""
        found = [program.death() for program in self._programs()]
        deaths = [death for death in found if death is not None]
        if self._front is not None:
            deaths += self._front.deaths(self._folder)
        return deaths

    def backend_counts(self, tag: str = TOTALS) -> list[BackendCounts]:
        """What each backend that can count has counted for `tag`."""
        counts = []
        for info, backend in zip(self.backends, self._backends, strict=True):
            if info.instrumented:
                c = read_counts(backend.counters, tag)
                counts.append(BackendCounts(info.index, info.address, c.started, c.raised, c.peak))
        return counts

    def in_flight(self, tag: str) -> int | None:
        """Requests of `tag` that the backends run right now; None when they cannot count."""
        if not all(info.instrumented for info in self.backends):
            return None
        # What a backend ran when it died does not run any more, but its file still says so.
        living = [backend for backend in self._backends if backend.program.death() is None]
        return sum(read_counts(backend.counters, tag).in_flight for backend in living)

    def front_counts(self, tag: str) -> FrontCounts | None:
        """What the front's log holds for `tag`; None without a front."""
        if self._front is None:
            return None
        self._front_counts.read(self._front, self._front.access_log(self._folder))
        return self._front_counts.of(tag)

    def watch(self) -> None:
        """Watch the memory and CPU of its processes, until `usage` is called."""
        # Not before it is wanted: a site is up sooner without psutil.
        from pytest_winserve.sampler import Sampler

        assert self._keeper is not None
        names = {program.pid: program.name for program in self._programs()}
        self._sampler = Sampler(self._keeper.families, names)
        self._sampler.start()

    def usage(self) -> SiteUsage | None:
        """What its processes used since `watch`; None when it was not called."""
        sampler, self._sampler = self._sampler, None
        return None if sampler is None else sampler.stop()

    def pids(self) -> dict[str, int]:
        """The processes that serve, by name: the front's first."""
        front = self._front_program
        pids = {front.name: front.pid} if front is not None else {}
        return pids | {f"backend-{info.index}": info.pid for info in self.backends}

    def log_positions(self) -> dict[str, int]:
        """Where each log ends now."""
        return {n: path.stat().st_size if path.exists() else 0 for n, path in self._logs().items()}

    def logs(self, since: dict[str, int] | None = None, size: int = 4000) -> dict[str, str]:
        """The end of each log, from the positions `since` on."""
        since = since or {}
        return {n: tail(path, size, since.get(n, 0)) for n, path in self._logs().items()}

    # -- stopping -------------------------------------------------------------------------------

    def stop(self) -> list[str]:
        """Stop everything; every step runs. Returns what did not go as it should."""
        problems: list[str] = []
        died = {program.name for program in self._programs() if program.death() is not None}
        deadline = Deadline.after(STOP_SECONDS)
        steps: list[Callable[[], list[str]]] = [
            self._take_stock,
            self._ask_front_to_stop,
            *(self._asker(backend) for backend in self._backends),
            *(
                self._judge(program, deadline)
                for program in self._programs()
                if program.name not in died
            ),
            lambda: self._end_leftovers(blame=not died),
            self._dismiss_keeper,
            self._clean_up,
        ]
        for step in steps:
            try:
                problems += step()
            except Exception as error:  # every step must run, whatever one of them meets
                problems.append(f"{type(error).__name__} while stopping: {error}")
        return problems

    # -- how it is done -------------------------------------------------------------------------

    def _programs(self) -> list[Program]:
        programs = [backend.program for backend in self._backends]
        if self._front_program is not None:
            programs.insert(0, self._front_program)
        return [program for program in programs if program.started]

    def _logs(self) -> dict[str, Path]:
        logs = {backend.program.name: backend.program.log for backend in self._backends}
        if self._front is not None and self._front_program is not None:
            logs[self._front.name] = self._front.error_log(self._folder)
            logs[f"{self._front.name} output"] = self._front_program.log
        return logs

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
        return environment | {TAG_VARIABLE: self.nonce}

    def _start(self, program: Program) -> None:
        assert self._keeper is not None
        program.start(self._keeper)

    def _start_backend(self, index: int) -> None:
        spec = self.spec
        name = f"backend-{index}"
        program = Program(
            name,
            [sys.executable, "-m", "pytest_winserve.backend"],
            self._folder,
            self._environment(),
            Path(spec.folder),
        )
        backend = _Backend(
            index,
            program,
            self._folder / f"{name}.counters",
            self._folder / f"{name}.failure",
        )
        self._backends.append(backend)
        self._start(program)
        order = {
            "server": server_module(spec.topology.server),
            "options": spec.topology.server_options,
            "app": spec.app,
            "command": spec.command,
            "nginx": spec.nginx,
            "path": spec.path,
            "port": 0 if self._front else spec.port,
            "listen": asdict(spec.listen),
            "nonce": self.nonce,
            "index": index,
            "counters": str(backend.counters),
            "failure": str(backend.failure),
            # What it still waits for then, it must say before the deadline, but not long before.
            "patience": max(spec.start_timeout / 2, spec.start_timeout - LAST_WORDS_SECONDS),
        }
        program.tell(json.dumps(order))

    def _start_front(self, deadline: Deadline) -> None:
        """Start it with the backends' addresses, which are known while they still load the app."""
        if self._front is None or self.binary is None:
            return
        addresses = []
        for backend in self._backends:
            backend.wait_for("address", deadline)
            addresses.append(f"{ADDRESS}:{backend.told['address']}")
        for attempt in range(PORT_TRIES):
            self._claim = claim_port(self.spec.port, self.spec.listen)
            command = self._front.prepare(
                self.binary,
                self._folder,
                (self.spec.listen.address, self._claim.number),
                addresses,
                self.spec.topology.all_front_options,
            )
            self._front_program = Program(
                self._front.name, command, self._folder, self._environment(), self._folder
            )
            self._start(self._front_program)
            try:
                while not self._front.listening(self._folder):
                    self._look()
                    if not deadline.left:
                        raise StartError(
                            self._front_program.blame(f"{self._front.name} did not listen in time")
                        )
                    time.sleep(LOOK_EVERY)
            except StartError:
                taken = self._front.port_taken(self._folder)
                last = attempt == PORT_TRIES - 1 or not deadline.left
                if not taken or self.spec.port or last:
                    raise
                # Somebody was faster; the next port then.
                self._front_program.ask_to_stop()
                self._claim.release()
                self._front.error_log(self._folder).unlink(missing_ok=True)
            else:
                self._port = self._claim.number
                return

    def no_room(self) -> str | None:
        free = shutil.disk_usage(self._folder).free
        if free >= LEAST_ROOM:
            return None
        return f"no space left on device: {free} bytes are free for the logs in {self._folder}"

    def _check_room(self) -> None:
        """A program that cannot write a word of its log could not say why it ends."""
        why = self.no_room()
        if why is not None:
            raise StartError(why)

    def _look(self) -> None:
        """Raise when something that should run does not."""
        for backend in self._backends:
            backend.check()
        program = self._front_program
        if program is not None and self._front is not None:
            death = program.death()
            if death is not None:
                said = tail(self._front.error_log(self._folder)).strip()
                more = f"\n  its error log:\n{said}" if said and said not in program.tail() else ""
                raise StartError(program.blame(f"{death} while starting") + more)

    def _wait_for_backends(self, deadline: Deadline) -> None:
        infos = []
        for backend in self._backends:
            backend.wait_for("listening", deadline)
            told = backend.told
            infos.append(
                BackendInfo(
                    backend.index,
                    told["address"],
                    told["pid"],
                    told["instrumented"],
                    told["declared"],
                )
            )
        self.backends = tuple(infos)
        for info, backend in zip(infos, self._backends, strict=True):

            def look(info: BackendInfo = info, backend: _Backend = backend) -> None:
                backend.check()
                if info.instrumented and read_counts(backend.counters, lab_tag(READY_RUN)).raised:
                    time.sleep(SETTLE_SECONDS)  # let the server finish what it writes about it
                    raise StartError(
                        backend.program.blame(
                            f"the app raised on its first request, GET {self.spec.fast}"
                        )
                    )

            answer = self._ask(info.port, deadline, look, backend.program)
            mark = f"{self.nonce}.{info.index}"
            if info.instrumented and answer.headers.get(BACKEND_HEADER.lower()) != mark:
                look()
                raise StartError(
                    f"port {info.port} is answered by somebody else, not by backend {info.index} "
                    f"of this run (status {answer.status}, no mark {mark!r})"
                )
        if self._front is None:
            self._port = infos[0].port

    def _wait_for_front(self, deadline: Deadline) -> None:
        assert self._front_program is not None
        answer = self._ask(self._port, deadline, self._look, self._front_program)
        mark = answer.headers.get(BACKEND_HEADER.lower(), "")
        if all(i.instrumented for i in self.backends) and not mark.startswith(self.nonce):
            raise StartError(
                f"port {self._port} is answered by somebody else, not by "
                f"{self._front_program.name} of this run (status {answer.status})"
            )

    def _ask(
        self, port: int, deadline: Deadline, look: Callable[[], None], program: Program
    ) -> Answer:
        """The answer to the readiness request; a 5xx is the app's failure to come up."""
        headers = {REQUEST_HEADER: lab_tag(READY_RUN)}
        try:
            answer = first_answer((ADDRESS, port), self.spec.fast, headers, deadline, look)
        except StartTimeout as error:
            raise StartTimeout(program.blame(str(error))) from None
        if answer.status >= 500:
            look()
            time.sleep(SETTLE_SECONDS)  # let the server finish what it writes about it
            raise StartError(
                program.blame(
                    f"the app answered {answer.status} {answer.reason} to its first request, "
                    f"GET {self.spec.fast}"
                )
            )
        return answer

    def _asker(self, backend: _Backend) -> Callable[[], list[str]]:
        def ask() -> list[str]:
            backend.program.ask_to_stop()
            return []

        return ask

    def _ask_front_to_stop(self) -> list[str]:
        if self._front is None or self._front_program is None or self.binary is None:
            return []
        self._front_program.ask_to_stop()
        command = self._front.quit_command(self.binary, self._folder)
        if command is None or self._front_program.exit_code() is not None:
            self._front_program.terminate()
        else:
            subprocess.run(
                command, cwd=self._folder, check=True, timeout=STOP_SECONDS, capture_output=True
            )
        return []

    def _judge(self, program: Program, deadline: Deadline) -> Callable[[], list[str]]:
        def judge() -> list[str]:
            code = program.wait(deadline.left)
            if code is None:
                program.kill()
                return [program.blame(f"{program.name} (pid {program.pid}) ignored the request to "
                                      f"stop for {STOP_SECONDS:g} s and was killed")]  # fmt: skip
            if code != 0:
                return [program.blame(f"{program.death()} when asked to stop")]
            return []

        return judge

    def _take_stock(self) -> list[str]:
        if self._keeper is not None:
            self._keeper.take_stock()
        return []

    def _end_leftovers(self, blame: bool) -> list[str]:
        from pytest_winserve.tree import describe, kill

        left = self._keeper.members() if self._keeper is not None else []
        if not left:
            return []
        names = ", ".join(describe(process) for process in left)
        staying = kill(left)
        problems = [f"left a process behind, which was killed: {names}"] if blame else []
        if staying:
            problems.append(f"cannot be killed: {', '.join(map(describe, staying))}")
        return problems

    def _dismiss_keeper(self) -> list[str]:
        return self._keeper.dismiss() if self._keeper is not None else []

    def _clean_up(self) -> list[str]:
        if self._claim is not None:
            self._claim.release()
        for program in self._programs():
            program.ask_to_stop()
        if self._files is not None:
            self._files.remove()
        return []

    def _abandon(self) -> None:
        """End a start that failed or was interrupted: at once, and without judging."""
        self._take_stock()
        for program in self._programs():
            program.kill()
        self._end_leftovers(blame=False)
        self._dismiss_keeper()
        self._clean_up()


class _FrontLog:
    """The front's access log, counted per tag as far as it has been read."""

    def __init__(self) -> None:
        self._position = 0
        self._statuses: dict[str, Counter[int]] = {}
        self._answered: dict[str, Counter[str]] = {}
        self._unanswered: dict[str, Counter[str]] = {}

    def read(self, front: Front, path: Path) -> None:
        """Take in what has been written since the last time."""
        with path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
        lines, newline, _ = data.rpartition(b"\n")
        self._position += len(lines) + len(newline)
        for line in front.read_log(lines.decode("utf-8", "replace").splitlines()):
            self._statuses.setdefault(line.tag, Counter())[line.status] += 1
            for attempt in line.attempts:
                side = self._answered if attempt.answered else self._unanswered
                side.setdefault(line.tag, Counter())[attempt.address] += 1

    def of(self, tag: str) -> FrontCounts:
        return FrontCounts(
            self._statuses.get(tag, Counter()),
            self._answered.get(tag, Counter()),
            self._unanswered.get(tag, Counter()),
        )
