"""`Topology`: front x number of backends x server x options, and the string that names it.

    topology = [ front count "-" ] server { ":" key "=" value }
             | front count { ":" key "=" value }

Options belong to the server, unless their key starts with `front.`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pytest_winserve.errors import UsageError
from pytest_winserve.fronts import KeepsUsers, Secures, front_names, get_front
from pytest_winserve.options import Option, Value, defaults
from pytest_winserve.registry import nearest
from pytest_winserve.servers import (
    Concurrency,
    SeveralProcesses,
    get_server,
    made_for_development,
    server_names,
)

DEFAULT_SERVER = "flask"
DEFAULT_FRONT = "nginx"
MAX_BACKENDS = 64
ARTICLE = ("flask", "nginx1", "nginx4", "tornado", "nginx4-tornado")
SURVEYS = ("all", "servers")
"""The sets that depend on what the host can run."""
SETS = ("article", *SURVEYS)

_FRONT_AND_COUNT = re.compile(r"([a-z_]+?)(\d+)")


@dataclass(frozen=True, slots=True)
class Topology:
    """A front (or none), `count` backends of one server, and the options that are not defaults."""

    server: str
    front: str | None = None
    count: int = 1
    options: tuple[tuple[str, Value], ...] = field(default=())
    front_options: tuple[tuple[str, Value], ...] = field(default=())

    @classmethod
    def parse(cls, text: str) -> Topology:
        """The topology that `text` names.

        Raises UsageError that says what is wrong, where, and the nearest valid names.
        """
        try:
            return _parse(text.strip())
        except UsageError as error:
            raise UsageError(f"topology {text!r}: {error}") from None

    def __str__(self) -> str:
        head = self.server
        if self.front is not None:
            head = f"{self.front}{self.count}"
            if self.server != DEFAULT_SERVER:
                head += f"-{self.server}"
        server = {option.name: option for option in get_server(self.server).options}
        parts = [f"{key}={server[key].format(value)}" for key, value in self.options]
        if self.front is not None:
            front = {option.name: option for option in get_front(self.front).options}
            parts += [f"front.{k}={front[k].format(value)}" for k, value in self.front_options]
        return ":".join([head, *parts])

    @property
    def served_with(self) -> str:
        """The server with its options, without front and count: `waitress:threads=8`."""
        return str(Topology(self.server, options=self.options))

    @property
    def behind(self) -> str | None:
        """The front with its count and options: `nginx4`; None without one."""
        if self.front is None:
            return None
        alone = Topology(DEFAULT_SERVER, self.front, self.count, (), self.front_options)
        return str(alone)

    @property
    def development(self) -> bool:
        """Whether its server is made for development."""
        return made_for_development(self.server)

    @property
    def server_options(self) -> dict[str, Value]:
        """Every option of the server with its value."""
        return defaults(get_server(self.server).options, dict(self.options))

    @property
    def all_front_options(self) -> dict[str, Value]:
        """Every option of the front with its value; empty without a front."""
        if self.front is None:
            return {}
        return defaults(get_front(self.front).options, dict(self.front_options))

    @property
    def processes(self) -> int:
        """In how many processes the app runs."""
        server = get_server(self.server)
        each = server.processes(self.server_options) if isinstance(server, SeveralProcesses) else 1
        return self.count * each

    @property
    def keeps_users(self) -> bool:
        """Whether its front has a user stay with one backend."""
        if self.front is None:
            return False
        front: object = get_front(self.front)
        return isinstance(front, KeepsUsers) and front.keeps_users(self.all_front_options)

    @property
    def secure(self) -> bool:
        """Whether its front is spoken to over TLS."""
        if self.front is None:
            return False
        front: object = get_front(self.front)
        return isinstance(front, Secures) and front.secures(self.all_front_options)

    @property
    def declared(self) -> Concurrency:
        """How many requests a site of this machine runs at once, by what its server declares."""
        return self.runs(get_server(self.server).concurrency(self.server_options))

    def runs(self, each: Concurrency) -> Concurrency:
        """How many requests a site runs at once when one backend runs `each` of them.

        Unknown where the front keeps idle connections and an option bounds connections: they take
        places away, and which is chance.
        """
        if not isinstance(each, int):
            return each
        bounds = {o.name for o in get_server(self.server).options if o.of_connections}
        if bounds & dict(self.options).keys() and self._keeps_connections():
            return "unknown"
        return each * self.count

    def _keeps_connections(self) -> bool:
        if self.front is None:
            return False
        return get_front(self.front).keeps_connections(self.all_front_options)


def _parse(text: str) -> Topology:
    if not text:
        raise UsageError(f"it is empty; for example: {', '.join(ARTICLE)}")
    head, *pairs = text.split(":")
    front, count, server = _parse_head(head)
    server_given: dict[str, Value] = {}
    front_given: dict[str, Value] = {}
    position = len(head)
    for pair in pairs:
        where = f"at character {position + 2}"
        position += 1 + len(pair)
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"{pair!r} {where} is not key=value")
        if key.startswith("front."):
            if front is None:
                raise UsageError(f"{key} {where} is an option of a front, and there is no front")
            _take(front_given, get_front(front).options, front, key[6:], value, where)
        else:
            _take(server_given, get_server(server).options, server, key, value, where)
    return Topology(
        server,
        front,
        count,
        _not_defaults(get_server(server).options, server_given),
        _not_defaults(get_front(front).options, front_given) if front else (),
    )


def _parse_head(head: str) -> tuple[str | None, int, str]:
    first, dash, rest = head.partition("-")
    match = _FRONT_AND_COUNT.fullmatch(first)
    if match and match[1] in front_names():
        count = int(match[2])
        if not 1 <= count <= MAX_BACKENDS:
            where = f"at character {len(match[1]) + 1}"
            raise UsageError(f"{count} backends {where}: 1 to {MAX_BACKENDS} are possible")
        server = rest if dash else DEFAULT_SERVER
        if server not in server_names():
            raise UsageError(
                f"unknown server {server!r} at character {len(first) + 2}; "
                f"{nearest(server, server_names())}"
            )
        return match[1], count, server
    if first in front_names():
        raise UsageError(f"{first!r} needs a number of backends: {first}1, {first}4")
    if match and match[1] in server_names():
        raise UsageError(
            f"{first!r}: a number of backends needs a front: {DEFAULT_FRONT}{match[2]}-{match[1]}"
        )
    if dash or match:
        name = match[1] if match else first
        raise UsageError(f"unknown front {name!r} at character 1; {nearest(name, front_names())}")
    if head in SETS:
        raise UsageError(f"{head!r} names several topologies, and one is needed here")
    if head not in server_names():
        names = [*server_names(), *(f"{front}4" for front in front_names()), *SETS]
        raise UsageError(f"unknown server {head!r} at character 1; {nearest(head, names)}")
    return None, 1, head


def _take(
    given: dict[str, Value],
    options: tuple[Option, ...],
    owner: str,
    key: str,
    value: str,
    where: str,
) -> None:
    by_name = {option.name: option for option in options}
    if key not in by_name:
        known = nearest(key, by_name) if by_name else "it has none"
        raise UsageError(f"{owner} has no option {key!r} ({where}); {known}")
    if key in given:
        raise UsageError(f"the option {key!r} is given twice, again {where}")
    try:
        given[key] = by_name[key].parse(value)
    except UsageError as error:
        raise UsageError(f"{error} ({where})") from None


def _not_defaults(
    options: tuple[Option, ...], given: dict[str, Value]
) -> tuple[tuple[str, Value], ...]:
    return tuple(
        (option.name, given[option.name])
        for option in options
        if given.get(option.name, option.default) != option.default
    )
