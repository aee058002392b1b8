"""A backend of this machine: the process that runs one server with the app, and what it tells."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_winserve import errors
from pytest_winserve.backend.counters import Counts, read_counts
from pytest_winserve.backend.own_state import OwnState, read_states
from pytest_winserve.deployment.contract import READY_RUN, BackendInfo, Spec
from pytest_winserve.deployment.readiness import SETTLE_SECONDS, answer_of_app
from pytest_winserve.errors import StartError
from pytest_winserve.servers import server_module
from pytest_winserve.shipping.contents import PACKAGE
from pytest_winserve.system.keeper import Keeper
from pytest_winserve.system.listeners import listeners_of
from pytest_winserve.system.ports import Address
from pytest_winserve.system.program import Deadline, Program
from pytest_winserve.tags import BACKEND_HEADER, lab_tag

LOOK_EVERY = 0.005
LOOKED_AT = 100_000
"""Bytes of the log in which the traceback begins."""
TRACEBACK_SECONDS = 5.0
"""How long a server gets to begin with the traceback of what the app raised."""
FAILS_ALONE = re.compile(r"be loaded: (Import|ModuleNotFound|Name|Syntax|Indentation)Error")
"""What no other backend can be the reason of."""
LACKS = re.compile(r"No module named '[^'.]+'")
"""Not a part of a package that is there."""


@dataclass(slots=True)
class BackendProcess:
    """A backend's program and what it has told so far."""

    index: int
    nonce: str
    program: Program
    counters: Path
    failure: Path
    others: int = 0
    """How many backends the topology has beside it."""
    together: bool = True
    """Whether they are started at the same time."""
    advice: str = ""
    """What to do about a module that the app lacks."""
    told: dict[str, Any] = field(default_factory=dict)
    _read: int = 0

    @classmethod
    def named(
        cls, index: int, nonce: str, folder: Path, environment: Mapping[str, str], spec: Spec
    ) -> BackendProcess:
        """The backend of this index, with its files in `folder`; it is not started."""
        name = f"backend-{index}"
        command, its_own = _command(spec), dict(environment) | _activated(spec, environment)
        program = Program(name, command, folder, its_own, Path(spec.folder))
        return cls(index, nonce, program, folder / f"{name}.counters", folder / f"{name}.failure")

    def start(self, keeper: Keeper, spec: Spec, port: int, salt: str, deadline: Deadline) -> None:
        """Start it, and tell it what to serve; `port` 0 is any free one. `salt` is what keys are
        digested with."""
        self.others = spec.topology.count - 1
        self.together = not spec.in_turn
        self.advice = spec.advice
        self.program.start(keeper)
        order = {
            "server": server_module(spec.topology.server),
            "options": spec.topology.server_options,
            "app": spec.app,
            "command": spec.command,
            "nginx": spec.nginx,
            "behind_front": spec.topology.front is not None,
            "path": spec.path,
            "port": port,
            "listen": asdict(spec.listen),
            "nonce": self.nonce,
            "index": self.index,
            "counters": str(self.counters),
            "failure": str(self.failure),
            "salt": salt,
            "start_timeout": spec.start_timeout,
            "deadline": deadline.at,  # all processes have one performance counter
        }
        self.program.tell(json.dumps(order))

    def wait_for_info(self, deadline: Deadline) -> BackendInfo:
        """What it is, once it listens. Raises StartError."""
        self.wait_for("listening", deadline)
        names = ("address", "pid", "instrumented", "declared", "app", "routes", "not_run")
        info = BackendInfo(self.index, *(self.told[name] for name in names))
        if info.instrumented:  # where else the user's own command listens is the user's business
            self._check_listeners(info)
        return info

    def _check_listeners(self, info: BackendInfo) -> None:
        """Raise StartError when it listens elsewhere than it should, as far as the system tells;
        that it listens there is told by its answer.

        Before its first request: what an app opens because of that is its own business.
        """
        if self.told["listens"] is None:
            return
        expected = {(host, port) for host, port in self.told["listens"]}
        found: set[Address] = set()
        for pid in {self.program.pid, info.pid}:
            listeners = listeners_of(pid)
            if listeners is None:
                return
            found |= listeners
        strays = found - expected
        if strays:
            raise StartError(
                self.program.blame(
                    f"backend {self.index} listens at {_addresses(strays)}, and should on port "
                    f"{info.port} only: its server opened that, not the app while it was loaded"
                )
            )

    def wait_for_answer(self, info: BackendInfo, spec: Spec, deadline: Deadline) -> int:
        """The status of its own answer to the first request. Raises StartError, StartTimeout."""

        def look() -> None:
            self.check()
            if info.instrumented and self.counts(lab_tag(READY_RUN)).raised:
                self._wait_for_traceback()
                what = f"the app raised on its first request, GET {spec.fast}{info.missed}"
                raise StartError(self.program.blame(what))

        answer = answer_of_app(info.port, spec, deadline, look, self.program, missed=info.missed)
        mark = f"{self.nonce}.{info.index}"
        if info.instrumented and answer.headers.get(BACKEND_HEADER.lower()) != mark:
            look()
            raise StartError(
                f"port {info.port} is answered by somebody else, not by backend {info.index} "
                f"of this run (status {answer.status}, no mark {mark!r})"
            )
        return answer.status

    def _wait_for_traceback(self) -> None:
        """Return when its log has the traceback of what the app raised, or when there is none for
        a time: not every server writes one. The server writes it after the app has raised."""
        deadline = Deadline.after(TRACEBACK_SECONDS)
        while (
            "Traceback (most recent call last)" not in self.program.tail(LOOKED_AT)
            and deadline.left
        ):
            time.sleep(LOOK_EVERY)
        time.sleep(SETTLE_SECONDS)  # for the rest of it

    def counts(self, tag: str) -> Counts:
        """What it has counted for `tag`."""
        return read_counts(self.counters, tag)

    def own_states(self) -> list[OwnState]:
        """What each of its processes that were asked has for itself."""
        return read_states(self.counters)

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
            told = [failed["error"], failed["trace"]]
            if self.others and "could not be loaded" in told[0]:
                told[0] = f"backend {self.index}: {told[0]}"
                if self.together and not FAILS_ALONE.search(told[0]):
                    told.insert(1, self._beside())
            if self.advice and LACKS.search(told[0]):
                told.append(f"  {self.advice}")
            raise kind("\n".join(map(str.rstrip, filter(None, told))))
        death = self.program.death()
        if death is not None:
            raise StartError(self.program.blame(f"{death} while starting"))

    def _beside(self) -> str:
        others = "another backend" if self.others == 1 else f"{self.others} other backends"
        return (
            f"  {others} loaded the same app at the same time; where the app changes what they "
            "share while it is loaded (makes tables, migrates), do that in a step before, or have "
            "--start one-by-one start them in turn; services that start together at boot would "
            "fail the same way"
        )

    def wait_for(self, message: str, deadline: Deadline) -> None:
        """Return when it has told `message`. Raises StartError when it dies or at the deadline."""
        while message not in self.listen():
            self.check()
            if not deadline.left:
                raise StartError(
                    self.program.blame(
                        f"backend {self.index} was not ready in time: it still loads; "
                        "--start-timeout gives it longer"
                    )
                )
            time.sleep(LOOK_EVERY)


def _command(spec: Spec) -> list[str]:
    if spec.python is None:
        return [sys.executable, "-m", "pytest_winserve.backend"]
    script = Path(spec.lent[0], PACKAGE.name, "backend", "start_elsewhere.py")
    return [spec.python, str(script), *spec.lent]


def _activated(spec: Spec, environment: Mapping[str, str]) -> dict[str, str]:
    """What is set while a virtual environment is active: for a command of the user's, and for what
    the app starts by its name."""
    programs = Path(spec.python or "").parent
    if spec.python is None or not (programs.parent / "pyvenv.cfg").is_file():
        return {}
    path = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    return {"VIRTUAL_ENV": str(programs.parent), "PATH": path}


def _addresses(addresses: set[Address]) -> str:
    return ", ".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sorted(addresses)
    )
