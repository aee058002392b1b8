"""The lab's end on another machine: each channel of an execnet gateway serves one deployment.

A call is `(number, name, arguments)`; its answer `(number, "ok", value, "", "")`, or `(number,
error, text, component, hint)` where `error` is the name of a class of `pytest_winserve.errors`.
Values are plain: numbers, texts, lists and dictionaries.

What takes long has a channel of its own, which comes with the call `send`: on it come `(0,
"progress", value, "", "")` and in the end the answer, and it ends when the lab closes that channel.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.deployment.contract import Spec
from pytest_winserve.deployment.processes import Processes
from pytest_winserve.deployment.sender import FromHere
from pytest_winserve.deployment.this_machine import machine
from pytest_winserve.errors import MissingComponent, WinserveError
from pytest_winserve.load.engine import Progress
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.probe.verdicts import Capacity, SlowRequest, Verdict
from pytest_winserve.servers import get_server, require_server
from pytest_winserve.shipping.contents import fingerprint
from pytest_winserve.system.certificate import Certificate
from pytest_winserve.system.ports import Listen
from pytest_winserve.topology import Topology
from pytest_winserve.version import __version__
from pytest_winserve.webservers.program import FrontBinary


class Session:
    """What can be called over one channel: this, and the methods of the deployment itself."""

    def __init__(self) -> None:
        self._processes: Processes | None = None
        self._running = False

    def answer(self, name: str, arguments: Iterable[Any]) -> tuple[str, Any, str, str]:
        """What a call gives, as it is sent."""
        try:
            return "ok", plain(self._called(name)(*arguments)), "", ""
        except MissingComponent as error:
            return type(error).__name__, error.reason, error.component, error.hint
        except WinserveError as error:
            return type(error).__name__, str(error), "", ""
        except OSError as error:  # such as a full disk
            return WinserveError.__name__, f"its machine says: {error}", "", ""
        except Exception:  # the lab shows it; here nobody would see it
            return WinserveError.__name__, traceback.format_exc(), "", ""

    def _called(self, name: str) -> Callable[..., Any]:
        own = ("about", "require", "deploy", "start", "send", "stop", "abandon", "probe",
               "capacity", "load", "singles")  # fmt: skip
        called: Callable[..., Any] = getattr(self if name in own else self._processes, name)
        return called

    def about(self) -> dict[str, Any]:
        """Which package this is, and the machine that it is on."""
        return {"version": __version__, "fingerprint": fingerprint(), "machine": machine()}

    def require(self, server: str) -> None:
        """Raise what keeps a server from running here."""
        require_server(get_server(server), sys.platform)

    def deploy(self, spec: dict[str, Any]) -> FrontBinary | None:
        """Check a deployment before anything starts."""
        topology = Topology.parse(spec["topology"])
        listen = Listen(**spec["listen"])
        made = {"topology": topology, "listen": listen}
        if spec["certificate"] is not None:
            made["certificate"] = Certificate(**spec["certificate"])
        self._processes = Processes(Spec(**spec | made))
        return self._processes.binary

    def start(self) -> dict[str, Any]:
        """Bring it up."""
        assert self._processes is not None
        self._processes.start()
        self._running = True
        return {
            "nonce": self._processes.nonce,
            "port": self._processes.address[1],
            "backends": self._processes.backends,
        }

    def send(self, channel: Any, name: str, arguments: Iterable[Any]) -> None:
        """Begin to do what takes long, beside other calls."""

        def work() -> None:
            with suppress(OSError):  # the lab has closed the channel
                channel.send((0, *self.answer(name, [*arguments, channel])))

        threading.Thread(target=work, daemon=True).start()

    def probe(self, slow: dict[str, Any], *arguments: Any) -> Verdict:
        """See `Sender`; the channel comes last."""
        return self._sender(arguments[-1]).probe(SlowRequest(**slow), *arguments[:-1])

    def capacity(self, slow: dict[str, Any], *arguments: Any) -> Capacity:
        """See `Sender`; the channel comes last."""
        return self._sender(arguments[-1]).capacity(SlowRequest(**slow), *arguments[:-1])

    def singles(self, plan: dict[str, Any], tag: str, channel: Any) -> tuple[Reference, ...]:
        """See `Sender`; the channel comes last."""
        return self._sender(channel).singles(Plan.from_dict(plan), tag)

    def load(
        self, engine: str, plan: dict[str, Any], tag: str, warmup_tag: str, channel: Any
    ) -> dict[str, Any]:
        """See `Sender`; the channel gets the progress."""

        def tell(progress: Progress) -> None:
            channel.send((0, "progress", plain(progress), "", ""))

        made = Plan.from_dict(plan)
        return self._sender(channel).load(engine, made, tag, warmup_tag, tell).to_dict()

    def _sender(self, channel: Any) -> FromHere:
        """What sends from here, until the lab closes the channel."""
        assert self._processes is not None
        # A channel that the lab has closed takes nothing any more, and raises.
        return FromHere(
            self._processes,
            self._processes.spec.headers,
            lambda: channel.send((0, "progress", {}, "", "")),
            self._processes.spec.trust,
        )

    def stop(self) -> list[str]:
        """Stop what runs."""
        if self._processes is None or not self._running:
            return []
        self._running = False
        return self._processes.stop()

    def abandon(self) -> None:
        """End what runs at once."""
        if self._processes is not None and self._running:
            self._running = False
            self._processes.abandon()


def plain(value: Any) -> Any:
    """A value as it can be sent."""
    if is_dataclass(value) and not isinstance(value, type):
        # Not asdict: it makes counters anew, from pairs.
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def serve(channel: Any) -> None:
    """Answer the calls of an execnet channel until it closes; what still runs is stopped then."""
    session = Session()
    try:
        for number, name, arguments in channel:
            channel.send((number, *session.answer(name, arguments)))
    finally:
        session.stop()
