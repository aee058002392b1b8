"""The one table of settings. Command line, ini keys, environment variables, help and the report
header all derive from it.

A value is taken from the marker, then the command line, then the environment, then the ini file,
then the default; "not given" is not "false".

Every run of pytest imports this file, whether it uses the lab or not. So it imports nothing of the
package and does not read values (`session/settings.py` does), and a setting is a class written out,
which costs less to define than a dataclass or a named tuple.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Many = Literal["no", "commas", "lines", "whole lines"]
    """Whether a setting takes several values, and what separates them in one text: a line ends with
    `;` too, a whole line does not."""

    Kind = Literal["text", "count", "seconds", "pause", "hold", "truth"] | tuple[str, ...]
    """What a text stands for: a whole number from 1; seconds greater than 0; seconds or 0; seconds
    for which a request is held; true or false; or one of several words."""


class Setting:
    """One setting. A name that is a word of Python's ends in `_`, which nobody types."""

    __slots__ = ("default", "help", "kind", "many", "metavar", "name")

    def __init__(
        self,
        name: str,
        metavar: str,
        help: str,
        default: Any = None,
        many: Many = "no",
        kind: Kind = "text",
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.default = default
        self.many = many
        self.kind = kind

    @property
    def flag(self) -> bool:
        """Whether it has no value on the command line."""
        return self.kind == "truth"

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
        False, kind="truth",
    ),
    Setting(
        "load_from", "WHERE", "where probes and loads are sent from: here, host", "here",
        kind=("here", "host"),
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
        kind="seconds",
    ),
    Setting(
        "start", "HOW",
        "how backends are started: together, or one-by-one, each when the one before answers",
        "together", kind=("together", "one-by-one"),
    ),
    Setting("engine", "E", "what sends the load: builtin, locust, tsung", "builtin"),
    Setting("users", "N", "users of the stock checks' load", 500, kind="count"),
    Setting("duration", "S", "seconds of the stock checks' load", 10.0, kind="seconds"),
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
    Setting("think", "S", "seconds that a user waits after each answer", 0.0, kind="pause"),
    Setting("warmup", "S", "seconds of the load that are not counted", 0.0, kind="pause"),
    Setting("timeout", "S", "seconds that a request of a load may take", 10.0, kind="seconds"),
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
        kind="hold",
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
        kind="truth",
    ),
    Setting(
        "require", "CRITERION",
        "a condition on every result, such as 'error_rate < 1%'; repeatable", (), "lines",
    ),
    Setting(
        "limited", "WHAT",
        "criteria on a load whose generator was the limit, not the server: fail, allow",
        "fail", kind=("fail", "allow"),
    ),
    Setting("report", "DIR", "write results.json, report.html and summary.md into DIR"),
    Setting(
        "live_server", "BOOL",
        "give the suite base_url and live_server on the run's site, in place of those of "
        "pytest-flask, pytest-django, pytest-base-url and pytest-playwright",
        False, kind="truth",
    ),
    Setting(
        "nginx", "WHICH", "which nginx: auto, system, wheel, container[:IMAGE], or a path", "auto",
    ),
)  # fmt: skip
