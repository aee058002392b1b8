"""Which sites a test asks for, by the settings and its marker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_winserve.backend.app_names import parse_app
from pytest_winserve.errors import AppError, UsageError
from pytest_winserve.lab.available import Surveys, expand
from pytest_winserve.load.plan import Request
from pytest_winserve.servers.command import check_command
from pytest_winserve.session.labs import host_of, other_python
from pytest_winserve.session.load_arguments import journeys_of, login_of
from pytest_winserve.session.settings import Settings, seconds_of
from pytest_winserve.topology import Topology

if TYPE_CHECKING:
    from pytest_winserve.report.record import Record

FAILED_BEFORE = "could not be started for an earlier test"


@dataclass(frozen=True, slots=True)
class SiteKey:
    """What a test asks for. Tests with equal keys share a site, whatever time they give it to come
    up; None is the time of the run."""

    topology: str
    host: str
    app: str
    command: str | None
    slow: str | None
    fast: str | None
    start_timeout: float | None = field(default=None, compare=False)
    journey: str | None = None
    as_: str | None = None

    def not_started(self, nodeid: str, reason: str) -> Record:
        """The record of a test for which the site could not be brought up."""
        from pytest_winserve.report.record import Record

        topology = Topology.parse(self.topology)
        return Record(
            nodeid=nodeid,
            outcome="error",
            topology=self.topology,
            host=self.host,
            app=self.command if topology.server == "command" and self.command else self.app,
            declared=topology.declared,
            server=topology.served_with,
            behind=topology.behind,
            development=topology.development,
            events=(f"did not start: {reason}",),
        )

    def group(self) -> str:
        """A name for the tests that should run in one worker."""
        return f"{self.host}:{self.topology}:{self.app}"


def site_keys(settings: Settings, marker: dict[str, Any], surveys: Surveys) -> list[SiteKey]:
    """What a test with these marker arguments asks for, hosts outermost. Raises UsageError."""

    def several(name: str) -> Sequence[str]:
        value = marker.get(name, getattr(settings, name))
        return value.split(",") if isinstance(value, str) else value

    def one(name: str) -> Any:
        return marker.get(name, getattr(settings, name))

    command = one("command")
    journeys_of(one("journey"))
    login_of(one("as_"))
    for path in (one("slow"), one("fast")):
        if path is not None:
            Request(path)
    if one("app") is not None:  # else it is still to be looked for
        parse_app(one("app"))
    keys = [
        SiteKey(
            str(topology),
            host,
            one("app"),
            command,
            one("slow"),
            one("fast"),
            _start_timeout(marker),
            one("journey"),
            one("as_"),
        )
        for host in several("host")
        for text in several("topology")
        for topology in expand(text.strip(), host_of(settings, host), command, surveys)
    ]
    if any(Topology.parse(key.topology).server == "command" for key in keys):
        check_command(command)
    return list(dict.fromkeys(keys))


def _start_timeout(marker: dict[str, Any]) -> float | None:
    given = marker.get("start_timeout")
    try:
        return None if given is None else seconds_of("start_timeout", str(given))
    except ValueError as error:
        raise UsageError(str(error)) from None


def check_slow(topology: str, slow: str | None) -> None:
    """Raise AppError when a slow request is wanted of a server in which the lab cannot make one,
    and the app's own is not named."""
    if slow is None and Topology.parse(topology).server == "command":
        raise AppError(
            "the server command: the lab cannot hold a request in it, since nothing of the lab's "
            "runs there; name a path of the app's own that takes about a second, as in: "
            "--slow /report"
        )


def validate(settings: Settings, surveys: Surveys) -> None:
    """Raise UsageError for names, criteria, headers and paths that cannot be, before a start."""
    from pytest_winserve.load.criteria import Criterion
    from pytest_winserve.load.engines import get_engine
    from pytest_winserve.report import make_folder
    from pytest_winserve.session.labs import headers_of
    from pytest_winserve.session.load_arguments import load_arguments

    site_keys(settings, {}, surveys)
    for host in settings.host:
        other_python(settings, host)
    get_engine(settings.engine)
    headers_of(settings)
    load_arguments(settings)
    for criterion in settings.require:
        Criterion.parse(criterion)
    if settings.report is not None:
        make_folder(settings.report)
