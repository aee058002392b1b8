"""The one table of settings. Command line, ini keys, environment variables, help and the report
header all derive from it.

A value is taken from the marker, then the command line, then the environment, then the ini file,
then the default; "not given" is not "false".

The two values here are named tuples, not dataclasses like everywhere else: every run of pytest
defines them, used or not, and they are the cheaper ones to define. For the same reason annotations
are no texts here, each of which a named tuple compiles.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pytest_winserve.errors import UsageError
from pytest_winserve.tags import SHORTEST_HOLD

Many = Literal["no", "commas", "lines", "whole lines"]
"""Whether a setting takes several values, and what separates them in one text: a line ends with `;`
too, a whole line does not."""


class Setting(NamedTuple):
    """One setting; `convert` makes its value of a text and raises ValueError. A `flag` has no value
    on the command line. A name that is a word of Python's ends in `_`, which nobody types."""

    name: str
    metavar: str
    help: str
    default: Any = None
    many: Many = "no"
    convert: Callable[[str], Any] = str
    flag: bool = False

    @property
    def word(self) -> str:
        """The name as part of an option: `load-from`"""
        return self.name.rstrip("_").replace("_", "-")

    @property
    def option(self) -> str:
        """`--winserve-topology`"""
        return f"--winserve-{self.word}"

    @property
    def usage(self) -> str:
        """`--winserve-topology=T[,T...]`"""
        return self.option if self.flag else f"{self.option}={self.metavar}"

    @property
    def key(self) -> str:
        """The ini key, and the name that pytest keeps the option under: `winserve_topology`."""
        return f"winserve_{self.name.rstrip('_')}"

    @property
    def variable(self) -> str:
        """`WINSERVE_TOPOLOGY`"""
        return f"WINSERVE_{self.name.rstrip('_').upper()}"

    @property
    def described(self) -> str:
        """The help text with the default."""
        shown = ", ".join(self.default) if self.many != "no" else self.default or None
        return f"{self.help} (default: {shown})" if shown not in (None, "") else self.help

    def read(self, given: object, source: str) -> Any:
        """The value of what was given as a text, or as several. UsageError names the source."""
        texts = [str(each) for each in given] if isinstance(given, list | tuple) else [str(given)]
        if self.many == "no":
            # An empty path or report folder would quietly mean something else.
            if not texts[-1].strip():
                raise UsageError(f"{source}: {self.metavar} is empty")
            try:
                return self.convert(texts[-1])
            except ValueError as error:
                raise UsageError(f"{source}: {error}") from None
        parts: list[str] = []
        for text in texts:
            if self.many == "lines":
                text = text.replace(";", "\n")
            parts += text.split("," if self.many == "commas" else "\n")
        values = tuple(part.strip() for part in parts if part.strip())
        if not values:
            raise UsageError(f"{source}: {self.metavar} is empty")
        return values


def _users(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"users={text}: a whole number of at least 1 is needed")
    return int(text)


def _limited(text: str) -> str:
    if text not in {"fail", "allow"}:
        raise ValueError(f"limited={text}: fail or allow is needed")
    return text


def _duration(text: str) -> float:
    return seconds_of("duration", text)


def _think(text: str) -> float:
    return _pause("think", text)


def _warmup(text: str) -> float:
    return _pause("warmup", text)


def _pause(name: str, text: str) -> float:
    return 0.0 if text.strip() in {"0", "0.0"} else seconds_of(name, text)


def _timeout(text: str) -> float:
    return seconds_of("timeout", text)


def _start_timeout(text: str) -> float:
    return seconds_of("start_timeout", text)


def _start(text: str) -> str:
    if text not in {"together", "one-by-one"}:
        raise ValueError(f"start={text}: together or one-by-one is needed")
    return text


def seconds_of(name: str, text: str) -> float:
    """A time that was given as a text. Raises ValueError unless it is greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name}={text}: a number of seconds greater than 0 is needed")
    return value


def _hold(text: str) -> float:
    value = seconds_of("hold", text)
    if value < SHORTEST_HOLD:
        raise ValueError(f"hold={text}: at least {SHORTEST_HOLD} seconds are needed")
    return value


def _load_from(text: str) -> str:
    if text not in {"here", "host"}:
        raise ValueError(f"load_from={text}: here or host is needed")
    return text


def _truth(text: str) -> bool:
    if text.strip().lower() not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        raise ValueError(f"{text!r}: true or false is needed")
    return text.strip().lower() in {"true", "1", "yes", "on"}


SETTINGS = (
    Setting(
        "topology", "T[,T...]",
        "what to serve with: flask, nginx4, nginx4-waitress:threads=8; sets: article, all, servers",
        ("nginx4",), "commas",
    ),
    Setting(
        "host", "H[,H...]",
        "where to serve: local, wine, container[:IMAGE], vagrant[:MACHINE], ssh:DESTINATION",
        ("local",), "commas",
    ),
    Setting(
        "provision", "BOOL", "send this package and the app's folder to a host that needs them",
        False, convert=_truth, flag=True,
    ),
    Setting(
        "load_from", "WHERE", "where probes and loads are sent from: here, host", "here",
        convert=_load_from,
    ),
    Setting(
        "app", "SPEC",
        "the app to serve: module:attribute, module:factory(), path/to/file.py:attribute; unless "
        "given it is looked for as Flask's own command does: FLASK_APP, wsgi.py, app.py",
    ),
    Setting("chdir", "DIR", "the folder in which the app runs, and is looked for"),
    Setting(
        "env", "NAME=VALUE", "a variable of the app's environment; repeatable", (), "whole lines",
    ),
    Setting(
        "env_file", "FILE", "a file of such variables, as python-dotenv reads it; repeatable", (),
        "whole lines",
    ),
    Setting(
        "python", "PATH",
        "the Python of the app's own virtual environment, or its folder; an active environment "
        "that is not the lab's is taken by itself",
    ),
    Setting("command", "CMD", "command line of the server `command`, with {port}"),
    Setting(
        "start_timeout", "S", "seconds that a site may take to come up, with the app loaded", 30.0,
        convert=_start_timeout,
    ),
    Setting(
        "start", "HOW",
        "how backends are started: together, or one-by-one, each when the one before answers",
        "together", convert=_start,
    ),
    Setting("engine", "E", "what sends the load: builtin, locust, tsung", "builtin"),
    Setting("users", "N", "users of the stock checks' load", 500, convert=_users),
    Setting("duration", "S", "seconds of the stock checks' load", 10.0, convert=_duration),
    Setting("method", "METHOD", "method of a load's requests: GET, or POST with data or json"),
    Setting("data", "TEXT|@FILE", "body of a load's requests, sent as a form"),
    Setting("json", "TEXT|@FILE", "body of a load's requests, sent as JSON"),
    Setting("requests", "FILE", "a load's weighted requests, in TOML"),
    Setting("journey", "FILE", "a load's journeys: what users do step by step, in TOML"),
    Setting(
        "as_", "FILE[::NAME]",
        "a journey that is walked once when a site is up, such as a login; its cookies are those "
        "of probes, capacities, get() and loads without journeys",
    ),
    Setting("think", "S", "seconds that a user waits after each answer", 0.0, convert=_think),
    Setting("warmup", "S", "seconds of the load that are not counted", 0.0, convert=_warmup),
    Setting("timeout", "S", "seconds that a request of a load may take", 10.0, convert=_timeout),
    Setting(
        "stages", "LEVEL:S[,LEVEL:S...]",
        "users that the load moves to, and in how many seconds, instead of users and duration",
        (), "commas",
    ),
    Setting(
        "slow", "PATH",
        "slow path of the concurrency probe; unless given, the lab holds the fast one",
    ),
    Setting(
        "hold", "S", "seconds for which the lab holds a request where there is no slow path", 1.0,
        convert=_hold,
    ),
    Setting(
        "fast", "PATH",
        "fast path of the concurrency probe, and the first request; unless given it is / (/test of "
        "the sample app)",
    ),
    Setting(
        "header", "'NAME: VALUE'",
        "a header of every request, such as 'X-Api-Key: env:MY_KEY'; repeatable", (), "whole lines",
    ),
    Setting(
        "cookie", "NAME=VALUE",
        "a cookie of every request, such as session=env:MY_SESSION; repeatable", (), "whole lines",
    ),
    Setting("auth", "USER:PASSWORD", "Basic authorization of every request; USER:env:MY_PASSWORD"),
    Setting("host_header", "NAME", "the Host that every request names, for an app that insists"),
    Setting(
        "ca", "FILE",
        "certificates (PEM) that sign those of https:// URLs; unless given, what the system trusts",
    ),
    Setting(
        "insecure", "BOOL", "take any certificate of an https:// URL, unchecked", False,
        convert=_truth, flag=True,
    ),
    Setting(
        "require", "CRITERION",
        "a condition on every result, such as 'error_rate < 1%'; repeatable", (), "lines",
    ),
    Setting(
        "limited", "WHAT",
        "criteria on a load whose generator was the limit, not the server: fail, allow",
        "fail", convert=_limited,
    ),
    Setting("report", "DIR", "write results.json, report.html and summary.md into DIR"),
    Setting(
        "live_server", "BOOL",
        "give the suite base_url and live_server on the run's site, in place of those of "
        "pytest-flask, pytest-django, pytest-base-url and pytest-playwright",
        False, convert=_truth, flag=True,
    ),
    Setting(
        "nginx", "WHICH", "which nginx: auto, system, wheel, container[:IMAGE], or a path", "auto",
    ),
)  # fmt: skip


class Settings(NamedTuple):
    """Every setting with its value, and which were given anywhere."""

    topology: tuple[str, ...]
    host: tuple[str, ...]
    provision: bool
    load_from: str
    app: str
    chdir: str | None
    env: tuple[str, ...]
    env_file: tuple[str, ...]
    python: str | None
    command: str | None
    start_timeout: float
    start: str
    engine: str
    users: int
    duration: float
    method: str | None
    data: str | None
    json: str | None
    requests: str | None
    journey: str | None
    as_: str | None
    think: float
    warmup: float
    timeout: float
    stages: tuple[str, ...]
    slow: str | None
    hold: float
    fast: str | None
    header: tuple[str, ...]
    cookie: tuple[str, ...]
    auth: str | None
    host_header: str | None
    ca: str | None
    insecure: bool
    require: tuple[str, ...]
    limited: str
    report: str | None
    live_server: bool
    nginx: str
    given: frozenset[str] = frozenset()
    environment: Mapping[str, str] = {}
    """Of the app: what `env` and `env_file` say; see `with_app`."""
    why_app: str = ""
    """How the app was found, where none is named; see `with_app`."""


def resolve(command_line: Mapping[str, Any], ini: Callable[[str], Any]) -> Settings:
    """The settings: of the command line (by setting name; absent or None is "not given"), the
    environment, the ini file (`ini` gets the key) and the defaults. Raises UsageError."""
    values: dict[str, Any] = {}
    given = set()
    for setting in SETTINGS:
        sources: tuple[tuple[str, Any], ...] = (
            (setting.option, command_line.get(setting.name)),
            (setting.variable, os.environ.get(setting.variable)),
            (f"ini key {setting.key}", ini(setting.key)),
        )
        values[setting.name] = setting.default
        for source, value in sources:
            if value is not None and value != []:
                values[setting.name] = setting.read(value, source)
                given.add(setting.name)
                break
    return Settings(**values, given=frozenset(given))
