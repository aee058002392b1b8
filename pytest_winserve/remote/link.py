"""Calls to the agent on another machine, each with its answer, its progress and its errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from pytest_winserve.errors import HostLost, WinserveError
from pytest_winserve.system.program import Deadline

if TYPE_CHECKING:
    import execnet

ANSWER_SECONDS = 60.0
"""How long a call may take, beyond the time that it is given for its work."""
LOOK_EVERY = 0.5


class Owner(Protocol):
    """Whose channel a link uses: the gateway to one machine."""

    @property
    def name(self) -> str:
        """The host's name, as in the option."""

    def rebuilt(self, name: str, text: str, component: str, hint: str) -> WinserveError:
        """The error that was raised over there."""

    def gone(self) -> str | None:
        """Why the machine cannot answer any more, as far as that can be told from here."""

    def drop(self, gateway: object, why: str) -> str:
        """Give up a gateway that does not answer any more; returns what is known of the reason."""


class Link:
    """Calls to one session of the agent; see `pytest_winserve.remote.agent`."""

    def __init__(self, owner: Owner, channel: execnet.Channel) -> None:
        self._owner = owner
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
                self.lost = self._owner.drop(self._channel.gateway, why)
                raise HostLost(self.lost) from None
        _, outcome, value, component, hint = answer
        if outcome != "ok":
            raise self._owner.rebuilt(outcome, value, component, hint)
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
                    raise HostLost(f"the host {self._owner.name} gave up: {name}") from None
                if outcome == "ok":
                    return value
                if outcome != "progress":
                    raise self._owner.rebuilt(outcome, value, component, hint)
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
            if self.lost is None and (not gateway.hasreceiver() or self._owner.gone()):
                self.lost = self._owner.drop(gateway, self._last_words())
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
                if self._owner.gone():
                    raise EOFError from None
                if deadline is not None and not deadline.left:
                    raise TimeoutError(f"no answer for {ANSWER_SECONDS:g} s") from None
            else:
                return answer
