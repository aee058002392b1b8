"""Topologies on another machine, through an execnet gateway to a Python over there.

What differs from one kind of such machine to the next is its `Machine`, and nothing else.
"""

from __future__ import annotations

import shlex
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from pytest_winserve import __version__, errors
from pytest_winserve.contents import fingerprint
from pytest_winserve.deployment import READY_RUN, BackendInfo, Spec
from pytest_winserve.errors import (
    HostLost,
    MissingComponent,
    StartError,
    StartTimeout,
    WinserveError,
)
from pytest_winserve.fronts import FrontBinary
from pytest_winserve.instrument import BACKEND_HEADER, REQUEST_HEADER, TOTALS, lab_tag
from pytest_winserve.load.engine import Progress
from pytest_winserve.load.ledger import BackendCounts, FrontCounts
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.result import Result
from pytest_winserve.load.usage import SiteUsage
from pytest_winserve.ports import Address, Listen
from pytest_winserve.probe import Capacity, Exchange, Verdict
from pytest_winserve.process import Deadline, tail
from pytest_winserve.ready import first_answer
from pytest_winserve.sender import Tell
from pytest_winserve.temporary import LabFolder

if TYPE_CHECKING:
    import execnet

ANSWER_SECONDS = 60.0
"""How long a call may take, beyond the time that it is given for its work."""
LOOK_EVERY = 0.5
CLOSE_SECONDS = 5.0
REACH_SECONDS = 10.0
"""How long a site that answers over there may take to answer from here; through a forward to an
emulated machine an answer takes seconds."""

SERVE = "from pytest_winserve.agent import serve; serve(channel)"

BOOTSTRAP = "import sys;exec(eval(sys.stdin.readline()))"
"""The program of a Python that execnet talks to."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no Python over there could be started, and the one line that mends it. `missing` when
    there is none of that name, so that another name may do."""

    reason: str
    mend: str
    missing: bool = False


class Machine(Protocol):
    """What the lab must know of one kind of machine."""

    @property
    def name(self) -> str:
        """The host's name, as in the option."""

    @property
    def mend(self) -> str:
        """The one line that brings this package, or what it serves with, to the machine."""

    @property
    def advice(self) -> str:
        """What to do when the app needs a Python package that is not over there."""

    @property
    def note(self) -> str:
        """What the reader of results from there should know."""

    def commands(self, code: str) -> Iterable[list[str]]:
        """Commands that run Python code over there, to be tried in turn. Raises MissingComponent.

        The code is one line without double quotes and without what shells give a meaning.
        """

    def explained(self, said: str) -> Failure:
        """Why a command did not start a Python, by what was said."""

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        """Have this package found over there, and brought there first if `provision`; `note` tells
        of that then. Raises MissingComponent."""

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        """The spec with the app's folder as it is over there."""

    def folder(self) -> Path:
        """Where those commands run, here."""

    @property
    def listen(self) -> Listen:
        """Where servers over there listen to be reached from here."""

    def reach(self, port: int) -> Address:
        """How a port over there is reached from here. Raises StartError when it is not."""

    def translate(self, path: Path) -> str | None:
        """What a path of this machine is called over there; None when it is not there."""

    def gone(self) -> str | None:
        """Why it cannot answer any more, if that can be told without asking it."""

    def close(self) -> None:
        """Give up what `commands` and `reach` took hold of, and end what may still run of it."""


class RemoteHost:
    """A host behind a gateway, which is open while something uses it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._users = 0
        self._group: execnet.Group | None = None
        self._gateway: execnet.Gateway | None = None
        self._files: LabFolder | None = None
        self._log = Path()
        self._lost = ""
        self._about: dict[str, Any] = {}
        self.provision = False

    @property
    def name(self) -> str:
        return self._machine.name

    def deploy(self, spec: Spec) -> RemoteDeployment:
        return RemoteDeployment(self, replace(spec, listen=self._machine.listen))

    def folder(self) -> str:
        return self._machine.translate(Path.cwd()) or ""

    def path(self) -> tuple[str, ...]:
        found = map(self._machine.translate, own_path())
        return tuple(entry for entry in found if entry is not None)

    def place(self, spec: Spec) -> Spec:
        """The spec with the app's folder as it is over there, where the gateway is open."""
        assert self._gateway is not None
        return self._machine.place(self._gateway, spec)

    def require(self, server: str) -> None:
        with self.open(), closing(Link(self, self.channel())) as link:
            link("require", server)

    def about(self) -> dict[str, Any]:
        return self._about and self._about | {"note": self._machine.note}

    @contextmanager
    def open(self) -> Iterator[None]:
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Keep the gateway once it is opened. Every `enter` is followed by one `leave`."""
        self._users += 1

    def leave(self) -> None:
        """Close the gateway when nobody uses it any more."""
        self._users -= 1
        if not self._users:
            self._close()

    def channel(self) -> execnet.Channel:
        """A channel to an agent over there. Raises MissingComponent when there is none, or not
        one of this version."""
        if self._gateway is not None and not self._gateway.hasreceiver():
            self._close()
        if self._gateway is None:
            self._open()
        return self._serve()

    def _serve(self) -> execnet.Channel:
        """A channel to an agent through the gateway as it is. Raises HostLost when it has ended."""
        assert self._gateway is not None
        try:
            return self._gateway.remote_exec(SERVE)
        except OSError:
            raise HostLost(self.drop(self._gateway, "")) from None

    def reach(self, port: int) -> Address:
        return self._machine.reach(port)

    def rebuilt(self, name: str, text: str, component: str, hint: str) -> WinserveError:
        """The error that was raised over there."""
        kind: type[WinserveError] = getattr(errors, name)
        if "No module named" in text or "there is no module" in text:
            text += f"\n  {self._machine.advice}"
        if issubclass(kind, MissingComponent):
            # What pip brings, the host's own way of mending does; other programs it cannot.
            mend = self._machine.mend if hint.startswith("python -m pip") else hint
            return kind(component, f"{text}, on the host {self.name}", mend)
        return kind(text)

    def gone(self) -> str | None:
        """Why the machine cannot answer any more, as far as that can be told from here."""
        return self._machine.gone()

    def drop(self, gateway: object, why: str) -> str:
        """Give up a gateway that does not answer any more; returns what is known of the reason.

        When another site has done so before, the reason is what it was then.
        """
        if gateway is self._gateway:
            reasons = (self._machine.gone(), why, tail(self._log).strip())
            self._close()
            known = "; ".join(reason for reason in reasons if reason)
            self._lost = f"the gateway to the host {self.name} was lost: {known or 'it closed'}"
        return self._lost

    def _open(self) -> None:
        failure = Failure("there is no command that starts it", self._machine.mend)
        for command in self._machine.commands(BOOTSTRAP):
            try:
                self._open_with(command)
            except HostLost as error:  # execnet opens a gateway to a Python that ended at once
                failure = self._machine.explained(str(error))
                if not failure.missing:
                    break
            except BaseException:
                self._close()
                raise
            else:
                return
        raise MissingComponent(self.name, failure.reason, failure.mend)

    def _open_with(self, command: list[str]) -> None:
        import execnet

        self._files = LabFolder.make("host-")
        self._log = self._files.path / "log"
        words = relay(self._machine.folder(), self._log, command)
        self._group = execnet.Group()
        self._gateway = self._group.makegateway(f"popen//python={shlex.join(words)}")
        try:
            self._machine.prepare(self._gateway, self.provision)
        except (EOFError, OSError):
            raise HostLost(self.drop(self._gateway, "")) from None
        self._greet()

    def _greet(self) -> None:
        """See that over there is the same package as here."""
        here = f"{__version__} ({fingerprint()})"
        with closing(Link(self, self._serve())) as link:
            about = link("about")
        self._about = about["machine"]
        there = f"{about['version']} ({about['fingerprint']})"
        if there != here:
            raise MissingComponent(
                self.name,
                f"pytest-winserve is {there} over there, but {here} here",
                self._machine.mend,
            )

    def _close(self) -> None:
        if self._group is not None:
            self._group.terminate(CLOSE_SECONDS)
            if self._gateway is not None:
                # execnet leaves the pipes to the garbage collector, which warns of them.
                self._gateway._io.close_read()
                self._gateway._io.close_write()
            if self._files is not None:
                self._files.remove()
            self._machine.close()
        self._group = self._gateway = None


class Link:
    """Calls to one session of the agent; see `pytest_winserve.agent`."""

    def __init__(self, host: RemoteHost, channel: execnet.Channel) -> None:
        self._host = host
        self._channel = channel
        self._number = 0
        self._lock = threading.Lock()
        self.lost: str | None = None

    def __call__(self, name: str, *arguments: Any, seconds: float = 0.0) -> Any:
        """The value of a call that may work for `seconds`. Raises HostLost, and what the call
        raised over there."""
        with self._lock:
            if self.lost is not None:
                raise HostLost(self.lost)
            self._number += 1
            try:
                self._channel.send((self._number, name, arguments))
                answer = self._receive(Deadline.after(seconds + ANSWER_SECONDS))
            except (EOFError, OSError, self._channel.RemoteError) as error:
                own = isinstance(error, TimeoutError | self._channel.RemoteError)
                why = str(error) if own else self._last_words()
                self.lost = self._host.drop(self._channel.gateway, why)
                raise HostLost(self.lost) from None
        _, outcome, value, component, hint = answer
        if outcome != "ok":
            raise self._host.rebuilt(outcome, value, component, hint)
        return value

    def work(
        self, name: str, *arguments: Any, tell: Callable[[dict[str, Any]], None] | None = None
    ) -> Any:
        """The value of what takes long; `tell` gets the progress. When anything is raised here it
        ends over there as well. Raises as a call does."""
        channel = self._channel.gateway.newchannel()
        try:
            self("send", channel, name, arguments)
            while True:
                try:
                    _, outcome, value, component, hint = self._next(channel, None)
                except (EOFError, OSError):
                    self("about")  # says what is known, or fails as it should
                    raise HostLost(f"the host {self._host.name} gave up: {name}") from None
                if outcome == "ok":
                    return value
                if outcome != "progress":
                    raise self._host.rebuilt(outcome, value, component, hint)
                if tell is not None:
                    tell(value)
        finally:
            channel.close()

    def _last_words(self) -> str:
        """Why the other side has closed the channel, if it did before this side used it."""
        try:
            self._channel.waitclose(0)
        except self._channel.RemoteError as error:
            return str(error)
        except (EOFError, OSError):  # it is not closed, or without a word
            pass
        return ""

    def look(self) -> str | None:
        """Why the gateway is lost, as far as that can be told without asking the other side."""
        with self._lock:
            gateway = cast("execnet.Gateway", self._channel.gateway)
            if self.lost is None and (not gateway.hasreceiver() or self._host.gone()):
                self.lost = self._host.drop(gateway, self._last_words())
            return self.lost

    def close(self) -> None:
        if self.lost is None:
            self._channel.close()

    def _receive(self, deadline: Deadline) -> tuple[Any, ...]:
        """The answer to the last call; that to one that was interrupted here may come before."""
        while True:
            answer = self._next(self._channel, deadline)
            if answer[0] == self._number:
                return answer

    def _next(self, channel: execnet.Channel, deadline: Deadline | None) -> tuple[Any, ...]:
        """What comes next on a channel. Raises TimeoutError at the deadline, if there is one."""
        while True:
            try:
                answer: tuple[Any, ...] = channel.receive(LOOK_EVERY)
            except channel.TimeoutError:
                if self._host.gone():
                    raise EOFError from None
                if deadline is not None and not deadline.left:
                    raise TimeoutError(f"no answer for {ANSWER_SECONDS:g} s") from None
            else:
                return answer


class FromThere:
    """Sends to a site from its own machine; see `Sender`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def probe(self, *arguments: Any) -> Verdict:
        found = self._link.work("probe", *arguments)
        return Verdict(**{
            name: tuple(Exchange(**each) for each in found[name])
            for name in ("slow", "fast", "blocked")
        })  # fmt: skip

    def capacity(self, *arguments: Any) -> Capacity:
        found = self._link.work("capacity", *arguments)
        peaks = found["per_backend"]
        return Capacity(**found | {"per_backend": None if peaks is None else tuple(peaks)})

    def load(self, engine: str, plan: Plan, tag: str, warmup_tag: str, tell: Tell) -> Result:
        def show(told: dict[str, Any]) -> None:
            tell(Progress(**told))

        words = (engine, plan.to_dict(), tag, warmup_tag)
        return Result.from_dict(self._link.work("load", *words, tell=show))


class RemoteDeployment:
    """The deployment on another machine; see `Deployment`. What cannot be known any more, because
    the machine is lost, is left out; `lost` and `deaths` say so."""

    def __init__(self, host: RemoteHost, spec: Spec) -> None:
        self.nonce = ""
        self.backends: tuple[BackendInfo, ...] = ()
        self._host = host
        self._port = 0
        host.enter()
        try:
            self._link = Link(host, host.channel())
            self._spec = host.place(spec)
            plan = asdict(self._spec) | {"topology": str(spec.topology)}
            binary = self._link("deploy", plan)
        except BaseException:
            host.leave()
            raise
        self.binary = FrontBinary(**binary | {"path": Path(binary["path"])}) if binary else None

    @property
    def address(self) -> Address:
        return self.reach(self._port)

    @property
    def lost(self) -> str | None:
        return self._link.look()

    def reach(self, port: int) -> Address:
        return self._host.reach(port)

    def beside(self) -> FromThere:
        return FromThere(self._link)

    def start(self) -> None:
        try:
            up = self._link("start", seconds=self._spec.start_timeout)
        except HostLost as error:
            self._leave()
            raise StartError(str(error)) from None
        except BaseException:
            self._leave()
            raise
        self.nonce, self._port = up["nonce"], up["port"]
        self.backends = tuple(BackendInfo(**info) for info in up["backends"])
        try:
            self._see_it_from_here()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> list[str]:
        try:
            return self._ask(list[str](), "stop")
        finally:
            self._leave()

    def deaths(self) -> list[str]:
        deaths = self._ask(list[str](), "deaths")
        return [self.lost] if self.lost is not None else deaths

    def backend_counts(self, tag: str = TOTALS) -> list[BackendCounts]:
        found = self._ask(list[dict[str, Any]](), "backend_counts", tag)
        return [BackendCounts(**each) for each in found]

    def in_flight(self, tag: str) -> int | None:
        return self._ask(None, "in_flight", tag)

    def front_counts(self, tag: str) -> FrontCounts | None:
        found = self._ask(None, "front_counts", tag)
        return None if found is None else FrontCounts(**{k: Counter(v) for k, v in found.items()})

    def watch(self) -> None:
        self._ask(None, "watch")

    def usage(self) -> SiteUsage | None:
        found = self._ask(None, "usage")
        return None if found is None else SiteUsage.from_dict(found)

    def pids(self) -> dict[str, int]:
        return self._ask(dict[str, int](), "pids")

    def no_room(self) -> str | None:
        return self._ask(None, "no_room")

    def log_positions(self) -> dict[str, int]:
        return self._ask(dict[str, int](), "log_positions")

    def logs(self, since: dict[str, int] | None = None, size: int = 4000) -> dict[str, str]:
        return self._ask(dict[str, str](), "logs", since, size)

    def _see_it_from_here(self) -> None:
        """It has answered over there; raise StartError when it does not answer the lab."""

        def look() -> None:
            deaths = self.deaths()
            if deaths:
                raise StartError("; ".join(deaths))

        headers = {REQUEST_HEADER: lab_tag(READY_RUN)}
        address = self.address  # the way there may take seconds to make
        deadline = Deadline.after(REACH_SECONDS)
        try:
            answer = first_answer(address, self._spec.fast, headers, deadline, look)
        except StartTimeout as error:
            raise StartError(
                f"the site answers on the host {self._host.name} itself, but not from here: {error}"
                f"\n  a server of your own has to listen on {{address}}:{{port}}, which the lab "
                f"fills in; over there that is {self._spec.listen.address}"
            ) from None
        mark = answer.headers.get(BACKEND_HEADER.lower(), "")
        if all(info.instrumented for info in self.backends) and not mark.startswith(self.nonce):
            raise StartError(
                "{}:{} is answered by somebody else, not by this site".format(*address)
                + f" on the host {self._host.name} (status {answer.status})"
            )

    def _ask(self, unknown: Value, name: str, *arguments: Any) -> Value:
        try:
            value: Value = self._link(name, *arguments)
        except HostLost:
            return unknown
        return value

    def _leave(self) -> None:
        self._link.close()
        self._host.leave()


def relay(folder: Path, log: Path, command: Sequence[str]) -> list[str]:
    """The command that runs another one in `folder`, and ends it with this process; see
    `pytest_winserve.relay`."""
    words = [sys.executable, "-m", "pytest_winserve.relay", str(folder), str(log)]
    return [*words, *command, "--"]


def own_path() -> list[Path]:
    """The entries of Python's path that are the user's own: not this Python's libraries, which
    are of no use to another."""
    import site
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    libraries = [sysconfig.get_path(name) for name in names]
    libraries += [*site.getsitepackages(), site.getusersitepackages(), sys.base_prefix + "/lib"]
    found = [Path(entry).absolute() for entry in sys.path if entry]
    return [
        entry
        for entry in found
        if entry.is_dir() and not any(entry.is_relative_to(library) for library in libraries)
    ]
