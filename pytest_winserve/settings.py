"""The one table of settings. Command line, ini keys, environment variables, help and the report
header all derive from it.

A value is taken from the marker, then the command line, then the environment, then the ini file,
then the default; "not given" is not "false".

Every run of pytest imports this file, whether it uses the lab or not. So it imports nothing of the
package before it is needed, and a setting is a class written out, which costs less to define than a
dataclass or a named tuple.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Many = Literal["no", "commas", "lines", "whole lines"]
    """Whether a setting takes several values, and what separates them in one text: a line ends with
    `;` too, a whole line does not."""


class Setting:
    """One setting; `convert` makes its value of a text and raises ValueError. A `flag` has no value
    on the command line. A name that is a word of Python's ends in `_`, which nobody types."""

    __slots__ = ("convert", "default", "flag", "help", "many", "metavar", "name")

    def __init__(
        self,
        name: str,
        metavar: str,
        help: str,
        default: Any = None,
        many: Many = "no",
        convert: Callable[[str], Any] = str,
        flag: bool = False,
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.default = default
        self.many = many
        self.convert = convert
        self.flag = flag

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

    def found(
        self, command_line: Mapping[str, Any], ini: Callable[[str], Any]
    ) -> tuple[str, Any] | None:
        """Where the setting was given, and as what: on the command line (by setting name; absent or
        None is "not given"), in the environment, in the ini file (`ini` gets the key). None where
        it was not."""
        value = command_line.get(self.name)
        if value is not None and value != []:
            return self.option, value
        value = os.environ.get(self.variable)
        if value is not None:
            return self.variable, value
        value = ini(self.key)
        if value is not None and value != []:
            return f"ini key {self.key}", value
        return None

    def read(self, given: object, source: str) -> Any:
        """The value of what was given as a text, or as several. UsageError names the source."""
        from pytest_winserve.errors import UsageError

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
    from pytest_winserve.tags import SHORTEST_HOLD

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
