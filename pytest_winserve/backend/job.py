"""What a server in this process is given: the app, its options, a socket, a line to the lab."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_winserve.backend.apps import LoadedApp, load_app_in_time

# Before a server or an app patches what they are made of.
from pytest_winserve.backend.counters import Counters
from pytest_winserve.backend.instrument import Instrument
from pytest_winserve.backend.state_teller import StateTeller
from pytest_winserve.errors import StartError
from pytest_winserve.options import Options

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from pytest_winserve.backend.standard_streams import StandardStreams
    from pytest_winserve.system.ports import Address, ClaimedPort, Listen

LAST_WORDS_SECONDS = 2.5
"""How long before the deadline a backend says what it still waits for."""
SHORTEST_PATIENCE = 0.1


@dataclass(slots=True)
class BackendJob:
    """What the server of this process is given; see `pytest_winserve.servers.Job`."""

    spec: dict[str, Any]
    control: IO[str]
    streams: StandardStreams
    _socket: socket.socket | None = field(default=None, init=False)
    _backlog: int = field(default=0, init=False)
    _claim: ClaimedPort | None = field(default=None, init=False)
    _counters: Counters | None = field(default=None, init=False)
    _loaded: LoadedApp | None = field(default=None, init=False)
    _listens: set[Address] | None = field(default_factory=set, init=False)
    _own: set[Address] = field(default_factory=set, init=False)
    _state: StateTeller | None = field(default=None, init=False)

    @property
    def options(self) -> Options:
        options: Options = self.spec["options"]
        return options

    @property
    def command(self) -> str | None:
        command: str | None = self.spec["command"]
        return command

    @property
    def nginx(self) -> str:
        nginx: str = self.spec["nginx"]
        return nginx

    @property
    def behind_front(self) -> bool:
        behind_front: bool = self.spec["behind_front"]
        return behind_front

    @property
    def patience(self) -> float:
        timeout: float = self.spec["start_timeout"]
        deadline: float = self.spec["deadline"]
        usual = max(timeout / 2, timeout - LAST_WORDS_SECONDS)
        # A Python that was slow to start has less left until the deadline.
        left = max(0.0, deadline - time.perf_counter())
        return max(SHORTEST_PATIENCE, min(usual, max(left / 2, left - LAST_WORDS_SECONDS / 2)))

    def bind(self, backlog: int) -> socket.socket:
        from pytest_winserve.system.ports import bound_socket

        listen, port = self._listen_at(), self.spec["port"]
        if listen.first and not port:
            port = self._claimed(listen)
        self._socket, self._backlog = bound_socket(port, listen.address), backlog
        self.listens_too(self._socket.getsockname())
        self.tell(address=self._socket.getsockname()[1])
        return self._socket

    def listener(self) -> socket.socket:
        assert self._socket is not None, "listener() before bind()"
        assert self._counters is not None, "listener() before app()"
        bound = self._socket
        kind = bound.family, bound.type, bound.proto
        self._socket = socket.socket(*kind, fileno=bound.detach())
        return self._socket

    def port(self) -> int:
        port = self._claimed(self._listen_at())
        self.listens_too((self.address, port))
        self.tell(address=port)
        return port

    def listens_too(self, address: Address) -> None:
        self._own.add(address)
        if self._listens is not None:
            self._listens.add(address)

    @property
    def address(self) -> str:
        return self._listen_at().address

    def _listen_at(self) -> Listen:
        from pytest_winserve.system.ports import Listen

        return Listen(**self.spec["listen"])

    def _claimed(self, listen: Listen) -> int:
        from pytest_winserve.system.ports import claim_port

        # Kept, because the claim goes with the value that holds it.
        self._claim = claim_port(self.spec["port"], listen)
        return self._claim.number

    def app(self, workers: int = 0) -> WSGIApplication:
        loaded = load_app_in_time(self.spec["app"], self.patience)
        app, self._loaded = loaded.app, loaded
        self.streams.reopen()
        self._note_listeners_of_app()
        self._state = StateTeller(
            app, Path(self.spec["counters"]), self.spec["index"], self.spec["salt"],
            self.spec["server"], lambda: self._own,
        )  # fmt: skip
        self._counters = Counters(Path(self.spec["counters"]), workers)
        if self._socket is not None:
            self._listen(self._socket)
        return Instrument(
            app, self.spec["nonce"], self.spec["index"], self._counters, self._state.tell
        )

    def join(self, worker: int) -> None:
        assert self._counters is not None, "join() before app()"
        self._counters.join(worker)

    def worker_code(self, workers: int) -> str:
        self._counters = Counters(Path(self.spec["counters"]), workers)
        names = ("app", "counters", "failure", "nonce", "index", "salt")
        order = {name: self.spec[name] for name in names}
        order |= {"folder": os.getcwd(), "patience": self.patience}  # noqa: PTH109
        own = str(Path(__file__).parents[2])
        return (
            # All of the package is that of this folder then, and not another one that the app has.
            f"import sys\nsys.path[:] = {[own, *sys.path]!r}\n"
            "import pytest_winserve.backend\ndel sys.path[0]\n"
            "from pytest_winserve.backend.apps import app_of_worker\n"
            f"application = app_of_worker({order!r})\n"
        )

    @property
    def folder(self) -> Path:
        folder = Path(self.spec["counters"]).with_suffix(".files")
        folder.mkdir(exist_ok=True)
        return folder

    def serves(self) -> None:
        """The server is made, and not asked yet."""
        if self._state is not None:
            self._state.serves()

    @property
    def instrumented(self) -> bool:
        return self._counters is not None

    @property
    def app_name(self) -> str:
        """What was loaded, by its whole name; as it was given where another process loads it."""
        name: str = self.spec["app"] if self._loaded is None else self._loaded.name
        return name

    @property
    def routes(self) -> list[dict[str, Any]] | None:
        """The routes of the app; None where they are not known."""
        from pytest_winserve.backend.routes import routes_of

        try:
            found = None if self._loaded is None else routes_of(self._loaded.app)
        except Exception:  # whatever an app has made of itself, it is served
            return None
        return None if found is None else list(map(asdict, found))

    @property
    def not_run(self) -> str:
        """What of the app's file was not run, because it was imported; empty when that is nothing,
        or not known."""
        from pytest_winserve.backend.app_names import parse_app
        from pytest_winserve.backend.not_run import not_run

        if self._loaded is None:
            return ""
        name = parse_app(self._loaded.name)
        module = sys.modules.get(name.source)
        file = name.source if name.is_file else getattr(module, "__file__", None)
        return not_run(Path(file)) if file else ""

    @property
    def listens(self) -> list[Address] | None:
        """Where it listens: at its own address, and where the app has opened something while it
        was loaded. None when that is not known."""
        return None if self._listens is None else sorted(self._listens)

    def _note_listeners_of_app(self) -> None:
        if sys.platform != "linux":  # elsewhere it takes psutil, which a backend does not have
            self._listens = None
            return
        from pytest_winserve.system.listeners import listeners_of

        found = listeners_of(os.getpid())
        if self._listens is None or found is None:
            self._listens = None
        else:
            self._listens |= found

    def _listen(self, sock: socket.socket) -> None:
        try:
            sock.listen(self._backlog)
        except OSError as error:
            # On Linux a wanted port is safe from others (SO_REUSEADDR) only from here on.
            from pytest_winserve.system.ports import holder_of

            port = sock.getsockname()[1]
            raise StartError(
                f"port {port} was taken while the app loaded: {error.strerror}{holder_of(port)}"
            ) from None

    def tell(self, **message: Any) -> None:
        """Send a message to the lab."""
        self.control.write(json.dumps(message) + "\n")
        self.control.flush()
