"""A topology as running processes on the machine where this code runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.backend.own_state import OwnState
from pytest_winserve.deployment.backend_process import BackendProcess
from pytest_winserve.deployment.contract import BackendInfo, Spec
from pytest_winserve.deployment.front_process import FrontProcess
from pytest_winserve.deployment.log_scan import complaints_in
from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.fronts import get_front
from pytest_winserve.load.results.complaints import Complaint, together
from pytest_winserve.load.results.ledger import BackendCounts, FrontCounts
from pytest_winserve.load.results.usage import SiteUsage
from pytest_winserve.servers import get_server, require_sample_app, require_server
from pytest_winserve.system.keeper import Keeper, new_keeper
from pytest_winserve.system.lab_folder import LabFolder
from pytest_winserve.system.ports import ADDRESS, Address, bound_socket
from pytest_winserve.system.process_tag import TAG_VARIABLE
from pytest_winserve.system.program import Deadline, Program, tail
from pytest_winserve.tags import TOTALS
from pytest_winserve.webservers.program import FrontBinary

if TYPE_CHECKING:
    from pytest_winserve.deployment.contract import Sender
    from pytest_winserve.deployment.sampler import Sampler
    from pytest_winserve.shipping.app_python import AppPython


STOP_SECONDS = 5.0
LEAST_ROOM = 1_000_000
NOT_INHERITED = ("ngx_unique", "NGINX")  # they would change how nginx starts


class Processes:
    """The deployment on the machine where this code runs; see `Deployment`. `python` is what there
    is to know of the one that the spec names, if it names one."""

    def __init__(self, spec: Spec, python: AppPython | None = None) -> None:
        topology = spec.topology
        server = get_server(topology.server)
        require_server(server, sys.platform, dict(topology.options), spec.nginx, python)
        if topology.server == "command":
            from pytest_winserve.servers.command import check_command

            check_command(spec.command)
        elif spec.app == SAMPLE_APP:
            require_sample_app(server, python)
        self._front: FrontProcess | None = None
        if topology.front:
            front = get_front(topology.front)
            self._front = FrontProcess(front, front.find(spec.nginx))
        if spec.chdir:
            spec = replace(spec, folder=str(Path(spec.folder) / spec.chdir), chdir="")
            if not Path(spec.folder).is_dir():
                raise UsageError(f"the app's folder {spec.folder!r} is not there, see --chdir")
        if spec.port:
            spec.listen.check(spec.port)
            bound_socket(spec.port, spec.listen.address).close()
        self.spec = spec
        self.nonce = os.urandom(8).hex()
        self._salt = os.urandom(16).hex()
        self.backends: tuple[BackendInfo, ...] = ()
        self.lost = None
        self._backends: list[BackendProcess] = []
        self._keeper: Keeper | None = None
        self._sampler: Sampler | None = None
        self._files: LabFolder | None = None
        self._folder = Path()

    def start(self) -> None:
        """Bring everything up, or raise and leave nothing behind."""
        try:
            self._files = LabFolder.make()
            self._folder = self._files.path
            self._check_room()
            deadline = Deadline.after(self.spec.start_timeout)
            self._keeper = new_keeper(self.nonce, self._folder)
            for index in range(self.spec.topology.count):
                self._start_backend(index, deadline)
                if self.spec.in_turn:
                    self._wait_for_backends(deadline)
            steps = [self._start_front, self._wait_for_backends]
            if self.spec.port:
                # Others know it and may ask at once; a front takes what does not listen yet for
                # down, and answers 502 by itself from then on.
                steps.reverse()
            for step in steps:
                step(deadline)
            self._wait_for_front(deadline)
        except BaseException:
            self.abandon()
            raise

    @property
    def binary(self) -> FrontBinary | None:
        return None if self._front is None else self._front.binary

    @property
    def address(self) -> Address:
        return ADDRESS, self.backends[0].port if self._front is None else self._front.port

    def reach(self, port: int) -> Address:
        return ADDRESS, port

    def beside(self) -> Sender:
        from pytest_winserve.deployment.sender import FromHere

        return FromHere(self, self.spec.headers, trust=self.spec.trust)

    # -- what it knows while it runs ------------------------------------------------------------

    def deaths(self) -> list[str]:
        """Which of its processes died, and how."""
        found = [program.death() for program in self._programs()]
        deaths = [death for death in found if death is not None]
        if self._front is not None:
            deaths += self._front.deaths()
        return deaths

    def backend_counts(self, tag: str = TOTALS) -> list[BackendCounts]:
        """What each backend that can count has counted for `tag`."""
        counts = []
        for info, backend in zip(self.backends, self._backends, strict=True):
            if info.instrumented:
                c = backend.counts(tag)
                counts.append(BackendCounts(info.index, info.address, c.started, c.raised, c.peak))
        return counts

    def in_flight(self, tag: str) -> int | None:
        """Requests of `tag` that the backends run right now; None when they cannot count."""
        if not all(info.instrumented for info in self.backends):
            return None
        # What a backend ran when it died does not run any more, but its file still says so.
        living = [backend for backend in self._backends if backend.program.death() is None]
        return sum(backend.counts(tag).in_flight for backend in living)

    def front_counts(self, tag: str) -> FrontCounts | None:
        """What the front's log holds for `tag`; None without a front."""
        return None if self._front is None else self._front.counts(tag)

    def watch(self) -> None:
        """Watch the memory and CPU of its processes, until `usage` is called."""
        # Not before it is wanted: a site is up sooner without psutil.
        from pytest_winserve.deployment.sampler import Sampler

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
        front = self._front.program if self._front is not None else None
        pids = {front.name: front.pid} if front is not None else {}
        return pids | {f"backend-{info.index}": info.pid for info in self.backends}

    def own_states(self) -> list[OwnState]:
        """What the processes that were asked by `STATE_TAG` have for themselves."""
        return [state for backend in self._backends for state in backend.own_states()]

    def log_positions(self) -> dict[str, int]:
        """Where each log ends now."""
        return {n: path.stat().st_size if path.exists() else 0 for n, path in self._logs().items()}

    def complaints(self, since: dict[str, int]) -> tuple[Complaint, ...] | None:
        """What its programs complained of in their logs from these positions on."""
        server = get_server(self.spec.topology.server)
        writers = {backend.program.name: server for backend in self._backends}
        front = None if self.spec.topology.front is None else get_front(self.spec.topology.front)
        return together(
            complaint
            for name, path in self._logs().items()
            for complaint in complaints_in(path, since.get(name, 0), name, writers.get(name, front))
        )

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
        try:
            for step in steps:
                try:
                    problems += step()
                except Exception as error:  # every step must run, whatever one of them meets
                    problems.append(f"{type(error).__name__} while stopping: {error}")
        except KeyboardInterrupt:
            self.abandon()
            raise
        return problems

    def abandon(self) -> None:
        """End everything at once, and without judging: a start that failed, or what Ctrl-C ends."""
        self._take_stock()
        for program in self._programs():
            program.kill()
        self._end_leftovers(blame=False)
        self._dismiss_keeper()
        self._clean_up()

    # -- how it is done -------------------------------------------------------------------------

    def _programs(self) -> list[Program]:
        programs = [backend.program for backend in self._backends]
        if self._front is not None and self._front.program is not None:
            programs.insert(0, self._front.program)
        return [program for program in programs if program.started]

    def _logs(self) -> dict[str, Path]:
        logs = {backend.program.name: backend.program.log for backend in self._backends}
        return logs if self._front is None else logs | self._front.logs()

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
        return environment | {TAG_VARIABLE: self.nonce}

    def _start_backend(self, index: int, deadline: Deadline) -> None:
        assert self._keeper is not None
        backend = BackendProcess.named(
            index,
            self.nonce,
            self._folder,
            self._environment() | dict(self.spec.environment),
            self.spec,
        )
        self._backends.append(backend)
        port = 0 if self._front else self.spec.port
        backend.start(self._keeper, self.spec, port, self._salt, deadline)

    def _start_front(self, deadline: Deadline) -> None:
        """Start it with the backends' addresses, which are known while they still load the app."""
        if self._front is None:
            return
        assert self._keeper is not None
        addresses = []
        for backend in self._backends:
            backend.wait_for("address", deadline)
            addresses.append(f"{ADDRESS}:{backend.told['address']}")
        self._front.start(
            self._keeper,
            self.spec,
            self._folder,
            self._environment(),
            addresses,
            self._look,
            deadline,
        )

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
        """Raise when a backend that should run does not."""
        for backend in self._backends:
            backend.check()

    def _wait_for_backends(self, deadline: Deadline) -> None:
        """Return when those that were started answer; what each is, is known then."""
        new = self._backends[len(self.backends) :]
        infos = [backend.wait_for_info(deadline) for backend in new]
        self.backends += tuple(
            replace(info, status=backend.wait_for_answer(info, self.spec, deadline))
            for info, backend in zip(infos, new, strict=True)
        )

    def _wait_for_front(self, deadline: Deadline) -> None:
        if self._front is None:
            return
        mark = self.nonce if all(info.instrumented for info in self.backends) else None
        self._front.wait_for_answer(self.spec, mark, self._look, deadline)

    def _asker(self, backend: BackendProcess) -> Callable[[], list[str]]:
        def ask() -> list[str]:
            backend.program.ask_to_stop()
            return []

        return ask

    def _ask_front_to_stop(self) -> list[str]:
        if self._front is not None:
            self._front.ask_to_stop()
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
        from pytest_winserve.system.process_tree import describe, kill

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
        keeper, self._keeper = self._keeper, None
        return keeper.dismiss() if keeper is not None else []

    def _clean_up(self) -> list[str]:
        if self._front is not None:
            self._front.release()
        for program in self._programs():
            program.ask_to_stop()
        if self._files is not None:
            self._files.remove()
        return []
