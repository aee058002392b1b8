"""What a host can serve with: its servers, the settings of them that matter, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.hosts import Host, require_host
from pytest_winserve.lab.observer import Lines, Live, on_stderr
from pytest_winserve.options import Option, Value, defaults
from pytest_winserve.servers import Server, get_server, server_names
from pytest_winserve.system.waits import told
from pytest_winserve.topology import ARTICLE, Topology


def expand(text: str, host: Host, command: str | None, surveys: Surveys) -> list[Topology]:
    """The topology that `text` names, or those of a named set: `article`, `all`, `servers`.

    `all` is every server that the host can run, alone and behind nginx with four backends;
    the server `command` only when there is a command. `servers` adds the options that change how
    many requests a server runs at once.
    """
    if text == "article":
        return [Topology.parse(name) for name in ARTICLE]
    if text == "all":
        return every_server(surveys.of(host, command).able)
    if text == "servers":
        return every_setting(surveys.of(host, command).able)
    return [Topology.parse(text)]


COUNTS = (1, 2, 8)
"""Values of a whole-number option (threads, processes, ...) that a server is tried with."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What cannot be tried on a host: `state` is missing (`mend` is the one line that gets it) or
    never."""

    name: str
    state: Literal["missing", "never"]
    reason: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Survey:
    """The names of the servers that a host can run, and those that it cannot."""

    able: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


class Surveys:
    """What the hosts of a run can run. Each is asked once: every test that is collected wants to
    know, and a gateway takes seconds to open."""

    def __init__(self, live: Live | None = None) -> None:
        """What takes long is shown on `live`, unless given on the standard error."""
        self._live: Live = live or Lines(on_stderr)
        self._made: dict[str, Survey] = {}

    def of(self, host: Host, command: str | None) -> Survey:
        """What `host` can run; the server `command` only when there is a command.

        Raises MissingComponent when the host itself cannot be used.
        """
        found = self._made.get(host.name)
        if found is None:
            with told(self._live.waiting, f"the host {host.name} is asked what it has"):
                found = self._made[host.name] = survey(host)
        # Without a command there is no such server: nothing that could be got.
        able = tuple(name for name in found.able if command or name != "command")
        return Survey(able, found.left_out)


def survey(host: Host) -> Survey:
    """Ask `host`, which is opened for it, about every server. Raises MissingComponent when it
    cannot be used."""
    able, left_out = [], []
    with host.open():
        require_host(host)
        for name in server_names():
            try:
                host.require(name)
            except MissingComponent as error:
                left_out.append(LeftOut(name, "missing", error.reason, error.hint))
            except UsageError as error:
                left_out.append(LeftOut(name, "never", str(error)))
            else:
                able.append(name)
    return Survey(tuple(able), tuple(left_out))


def settings_that_matter(name: str) -> list[str]:
    """A server as it is, then with each option value that changes how many requests it declares to
    run at once: `waitress`, `waitress:threads=1`, ... Where two whole numbers do so, also with both
    at once, because they multiply."""
    server = get_server(name)
    telling = [
        (option, value)
        for option in server.options
        for value in _values(option)
        if _matters(server, {option.name: value})
    ]
    texts = [f"{name}:{option.name}={option.format(value)}" for option, value in telling]
    numbers = dict.fromkeys(o for o, value in telling if not isinstance(value, bool) and value == 2)
    if len(numbers) > 1 and _matters(server, {option.name: 2 for option in numbers}):
        texts.append(":".join([name, *(f"{option.name}=2" for option in numbers)]))
    return [name, *texts]


def _values(option: Option) -> Iterator[Value]:
    if isinstance(option.default, bool):
        yield not option.default
    elif isinstance(option.default, int):
        yield from (n for n in COUNTS if option.minimum <= n <= option.maximum)


def _matters(server: Server, given: Mapping[str, Value]) -> bool:
    """Whether these values change the declared concurrency; not where they contradict something."""
    with suppress(UsageError):
        usual = server.concurrency(defaults(server.options, {}))
        return server.concurrency(defaults(server.options, given)) != usual
    return False


def every_server(able: Iterable[str]) -> list[Topology]:
    """The set `all`: each server that can be run, alone and behind nginx with four."""
    return _alone_and_behind(able)


def every_setting(able: Iterable[str]) -> list[Topology]:
    """The set `servers`: the same with the settings that matter."""
    return _alone_and_behind(text for name in able for text in settings_that_matter(name))


def _alone_and_behind(servers: Iterable[str]) -> list[Topology]:
    return [Topology.parse(each) for name in servers for each in (name, f"nginx4-{name}")]
