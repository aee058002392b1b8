"""The process that runs one server with one app: `python -m pytest_winserve.backend`.

It reads a line of JSON from its standard input, writes lines of JSON to its standard output (its
address, then that it listens, or what went wrong), and ends when its standard input closes, so a
killed lab leaves no backend behind. What the app prints goes to standard error, which is its log.
"""

from __future__ import annotations

import difflib
import faulthandler
import importlib
import io
import json
import os
import socket
import sys
import traceback
from _thread import allocate_lock, start_new_thread
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_winserve.errors import MissingComponent, StartError, UsageError, WinserveError
from pytest_winserve.options import Options

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from pytest_winserve.instrument import Counters
    from pytest_winserve.ports import ClaimedPort, Listen
    from pytest_winserve.servers import Server

STOP_SECONDS = 1.0
"""How long requests that still run may keep a backend that was asked to stop."""


@dataclass(slots=True)
class BackendJob:
    """What the server of this process is given; see `pytest_winserve.servers.Job`."""

    spec: dict[str, Any]
    control: IO[str]
    _socket: socket.socket | None = field(default=None, init=False)
    _backlog: int = field(default=0, init=False)
    _claim: ClaimedPort | None = field(default=None, init=False)
    _counters: Counters | None = field(default=None, init=False)

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
    def patience(self) -> float:
        patience: float = self.spec["patience"]
        return patience

    def bind(self, backlog: int) -> socket.socket:
        from pytest_winserve.ports import bound_socket

        listen, port = self._listen_at(), self.spec["port"]
        if listen.first and not port:
            port = self._claimed(listen)
        self._socket, self._backlog = bound_socket(port, listen.address), backlog
        self.tell(address=self._socket.getsockname()[1])
        return self._socket

    def port(self) -> int:
        port = self._claimed(self._listen_at())
        self.tell(address=port)
        return port

    @property
    def address(self) -> str:
        return self._listen_at().address

    def _listen_at(self) -> Listen:
        from pytest_winserve.ports import Listen

        return Listen(**self.spec["listen"])

    def _claimed(self, listen: Listen) -> int:
        from pytest_winserve.ports import claim_port

        # Kept, because the claim goes with the value that holds it.
        self._claim = claim_port(self.spec["port"], listen)
        return self._claim.number

    def app(self, workers: int = 0) -> WSGIApplication:
        from pytest_winserve.instrument import Counters, Instrument

        app = load_app_in_time(self.spec["app"], self.patience)
        self._counters = Counters(Path(self.spec["counters"]), workers)
        if self._socket is not None:
            self._listen(self._socket)
        return Instrument(app, self.spec["nonce"], self.spec["index"], self._counters)

    def join(self, worker: int) -> None:
        assert self._counters is not None, "join() before app()"
        self._counters.join(worker)

    def worker_code(self, workers: int) -> str:
        from pytest_winserve.instrument import Counters

        self._counters = Counters(Path(self.spec["counters"]), workers)
        order = {name: self.spec[name] for name in ("app", "counters", "failure", "nonce", "index")}
        order |= {"folder": os.getcwd(), "patience": self.patience}  # noqa: PTH109
        return (
            f"import sys\nsys.path[:] = {sys.path!r}\n"
            "from pytest_winserve.backend import app_of_worker\n"
            f"application = app_of_worker({order!r})\n"
        )

    @property
    def folder(self) -> Path:
        folder = Path(self.spec["counters"]).with_suffix(".files")
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def instrumented(self) -> bool:
        return self._counters is not None

    def _listen(self, sock: socket.socket) -> None:
        try:
            sock.listen(self._backlog)
        except OSError as error:
            # On Linux a wanted port is safe from others (SO_REUSEADDR) only from here on.
            from pytest_winserve.ports import holder_of

            port = sock.getsockname()[1]
            raise StartError(
                f"port {port} was taken while the app loaded: {error.strerror}{holder_of(port)}"
            ) from None

    def tell(self, **message: Any) -> None:
        """Send a message to the lab."""
        self.control.write(json.dumps(message) + "\n")
        self.control.flush()


def app_of_worker(order: dict[str, Any]) -> WSGIApplication:
    """The instrumented app in a process that a server has started by itself; see
    `BackendJob.worker_code`, which makes the call."""
    from pytest_winserve.instrument import Counters, Instrument

    os.chdir(order["folder"])
    try:
        app = load_app_in_time(order["app"], order["patience"])
    except (Exception, SystemExit) as error:
        # Of several processes, the first one's; and a server's own log is not the lab's to read.
        with suppress(FileExistsError), Path(order["failure"]).open("x", encoding="utf-8") as file:
            told = failure(order["app"], error) | {"trace": app_traceback(error)}
            file.write(json.dumps(told) + "\n")
        raise
    counters = Counters.attach(Path(order["counters"]))
    return Instrument(app, order["nonce"], order["index"], counters)


def load_app_in_time(spec: str, patience: float) -> WSGIApplication:
    """As `load_app`; an app that hangs while it loads leaves in the log where it does."""
    # By its number: a server may have put something of its own in the place of sys.stderr.
    faulthandler.dump_traceback_later(patience, file=2)
    try:
        return load_app(spec)
    finally:
        faulthandler.cancel_dump_traceback_later()


def load_app(spec: str) -> WSGIApplication:
    """The app that `module:attribute` or `module:factory()` names.

    Raises UsageError with what is wrong; an exception of the app's own import passes through.
    """
    module_name, colon, attribute = spec.partition(":")
    called = attribute.endswith("()")
    attribute = attribute.removesuffix("()")
    names = [*module_name.split("."), *attribute.split(".")]
    if not colon or not all(name.isidentifier() for name in names):
        raise UsageError(f"the app {spec!r} is neither module:attribute nor module:factory()")
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise UsageError(
                f"the app {spec!r}: there is no module {error.name!r} in {os.getcwd()!r} "  # noqa: PTH109
                "or on Python's path"
            ) from None
        raise
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            close = difflib.get_close_matches(name, dir(value), n=3)
            hint = f"; nearest: {', '.join(close)}" if close else ""
            raise UsageError(
                f"the app {spec!r}: {module_name} has no {attribute!r}{hint}"
            ) from None
    if called:
        value = value()
    if not callable(value):
        raise UsageError(f"the app {spec!r} is not callable, but {type(value).__name__}")
    if isinstance(value, type):
        raise UsageError(f"the app {spec!r} is a class; name an instance of it")
    app: WSGIApplication = value
    return app


def failure(app: str, error: BaseException) -> dict[str, str]:
    """What the lab is told of an error that kept the app from being served."""
    if isinstance(error, MissingComponent):
        # What the lab itself needs it has asked for before.
        return {"error": str(error), "kind": StartError.__name__}
    if isinstance(error, WinserveError):
        return {"error": str(error), "kind": type(error).__name__}
    last = traceback.format_exception_only(error)[-1].strip()
    return {
        "error": f"the app {app!r} could not be loaded: {last}",
        "kind": StartError.__name__,
    }


def app_traceback(error: BaseException) -> str:
    """The traceback of the app's own code, without the frames that led to it; empty when none of
    it ran."""
    if isinstance(error, WinserveError):
        return ""
    trace = traceback.TracebackException.from_exception(error)
    files = [frame.filename for frame in trace.stack]
    first = len(files) - files[::-1].index(__file__) if __file__ in files else 0
    machinery = (importlib.__file__, "<frozen importlib")
    while first < len(files) and files[first].startswith(machinery):
        first += 1
    del trace.stack[:first]
    if not trace.stack and not isinstance(error, SyntaxError):
        return ""  # such as a call that its factory does not take
    return "".join(trace.format())


def main() -> int:
    # The app may print, read or close what it likes: the lab's two pipes are kept out of its way.
    orders = os.fdopen(os.dup(0), "r", encoding="utf-8")
    control = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        # The lab reads the log as UTF-8; the system's own encoding may not even have the text.
        stream.reconfigure(
            encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
        )
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    spec: dict[str, Any] = json.loads(orders.readline())
    # First what the command line put there, then what the lab's own Python has beyond it.
    sys.path[1:1] = [entry for entry in spec["path"] if entry not in sys.path]
    job = BackendJob(spec, control)
    # The system's own lock, as the thread below is: a server may replace those of `threading`.
    serving = allocate_lock()
    serving.acquire()
    try:
        server: Server = importlib.import_module(spec["server"]).SERVER
        running = server.start(job)
    except (Exception, SystemExit) as error:
        sys.stderr.write(app_traceback(error))
        sys.stderr.flush()
        job.tell(**failure(spec["app"], error))
        return 2

    def wait_for_the_end() -> None:
        # Not `orders.read`: it holds a lock, which a process forked meanwhile would find taken.
        while os.read(orders.fileno(), 1024):
            pass
        running.stop()
        if not serving.acquire(timeout=STOP_SECONDS):
            sys.stderr.write("winserve: stopped with requests still running\n")
            sys.stderr.flush()
            os._exit(0)

    start_new_thread(wait_for_the_end, ())
    job.tell(
        listening=True,
        pid=running.pid or os.getpid(),
        instrumented=job.instrumented,
        declared=server.concurrency(job.options),
    )
    try:
        running.serve()
    except StartError as error:
        sys.stderr.write(f"winserve: {error}\n")
        return 3
    finally:
        serving.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
