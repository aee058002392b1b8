"""The gateway to a Python on another machine: opened when it is used first, closed by its last
user, and given up when it does not answer any more."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve import errors
from pytest_winserve.deployment.contract import Spec
from pytest_winserve.errors import HostLost, MissingComponent, WinserveError
from pytest_winserve.remote.link import Link
from pytest_winserve.remote.machine import Failure, Machine
from pytest_winserve.remote.relay import relay
from pytest_winserve.shipping.contents import fingerprint
from pytest_winserve.system.lab_folder import LabFolder
from pytest_winserve.system.ports import Address
from pytest_winserve.system.program import tail
from pytest_winserve.version import __version__

if TYPE_CHECKING:
    import execnet

CLOSE_SECONDS = 5.0

SERVE = "from pytest_winserve.remote.agent import serve; serve(channel)"

BOOTSTRAP = "import sys;exec(eval(sys.stdin.readline()))"
"""The program of a Python that execnet talks to."""


class Gateway:
    """The gateway to one machine, which all its deployments share."""

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
        """The host's name, as in the option."""
        return self._machine.name

    def about(self) -> dict[str, Any]:
        """The machine as in `results.json`; empty when it was not used yet."""
        return self._about and self._about | {"note": self._machine.note}

    def place(self, spec: Spec) -> Spec:
        """The spec with the app's folder as it is over there, where the gateway is open."""
        assert self._gateway is not None
        return self._machine.place(self._gateway, spec)

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

    def link(self) -> Link:
        """Calls to an agent over there. Raises as `channel` does."""
        return Link(self, self.channel())

    def reach(self, port: int) -> Address:
        """How a port over there is reached from here."""
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
        try:
            with closing(Link(self, self._serve())) as link:
                about = link("about")
        except HostLost as error:
            # One of a version whose modules had other names.
            lacks = re.search(r"No module named 'pytest_winserve.*", str(error))
            if lacks is None:
                raise
            raise MissingComponent(
                self.name,
                f"pytest-winserve over there is not {here}, as here: {lacks[0]}",
                self._machine.mend,
            ) from None
        self._about = about["machine"]
        there = f"{about['version']} ({about['fingerprint']})"
        if there != here:
            raise MissingComponent(
                self.name,
                f"pytest-winserve is {there} over there, but {here} here",
                self._machine.mend,
            )

    def _serve(self) -> execnet.Channel:
        """A channel to an agent through the gateway as it is. Raises HostLost when it has ended."""
        assert self._gateway is not None
        try:
            return self._gateway.remote_exec(SERVE)
        except OSError:
            raise HostLost(self.drop(self._gateway, "")) from None

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
