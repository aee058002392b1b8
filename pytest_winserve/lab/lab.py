"""`Lab`: puts host, front and backends together. Works without pytest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.backend.app_names import parse_app
from pytest_winserve.deployment.contract import Deployment, Spec
from pytest_winserve.deployment.sender import FromHere
from pytest_winserve.errors import UsageError
from pytest_winserve.hosts import Host, TakesPython, open_host
from pytest_winserve.lab.observer import Lines, Observer, ShownOn, on_stderr
from pytest_winserve.lab.site import Site
from pytest_winserve.load.criteria import Criterion, parse_all
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.plan import Request
from pytest_winserve.load.run_headers import checked
from pytest_winserve.system.certificate import certificate_of
from pytest_winserve.system.ports import ADDRESS
from pytest_winserve.system.waits import told
from pytest_winserve.tags import SHORTEST_HOLD
from pytest_winserve.topology import Topology

FAST, FAST_OF_SAMPLE = "/", "/test"
HOLD_SECONDS = 1.0
START_SECONDS = 30.0


class Lab:
    """Serves apps in topologies on one host.

        with Lab(host="local").serve("nginx4", app="shop:create_app()") as site:
            print(site.url, site.load(users=100, duration=5).summary())

    With `provision` a host that needs this package gets it. `load_from` is `here` or `host`: where
    probes and loads are sent from. `python` is the Python of the app's own virtual environment, or
    its folder, for the host `local`; unless given, the lab's own serves. `nginx` is a path,
    `system`, `wheel`, `container` or `auto`; `start_timeout` the seconds that a site may take to
    come up. `hold` is for how many seconds a request is held where no slow path is named. Apps run
    in the folder `chdir`, and with these variables in their `environment`. `start` is `together` or
    `one-by-one`, where the next backend is started when the one before answers. `headers` (a
    mapping, or pairs) are those of every request of the lab, such as a key or the Host that the app
    insists on; what a request of a load names itself stays, and their values are not shown. The
    criteria of `require` are applied to every measurement; on a load whose generator was the limit
    they fail unless `allow_limited`. What takes long is told to `observer`, or else on the standard
    error. Raises UsageError for a host, engine, header or criterion that cannot be.
    """

    def __init__(
        self,
        host: str = "local",
        *,
        provision: bool = False,
        load_from: str = "here",
        python: str | None = None,
        nginx: str = "auto",
        engine: str = "builtin",
        start_timeout: float = START_SECONDS,
        hold: float = HOLD_SECONDS,
        chdir: str = "",
        environment: Mapping[str, str] | None = None,
        start: str = "together",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        require: Sequence[Criterion | str] = (),
        allow_limited: bool = False,
        observer: Observer | None = None,
    ) -> None:
        _check_start_timeout(start_timeout)
        if not (math.isfinite(hold) and hold >= SHORTEST_HOLD):
            raise UsageError(f"hold={hold}: at least {SHORTEST_HOLD} seconds are needed")
        if load_from not in ("here", "host"):
            raise UsageError(f"load_from={load_from!r}: here or host is needed")
        if start not in ("together", "one-by-one"):
            raise UsageError(f"start={start!r}: together or one-by-one is needed")
        get_engine(engine)
        self.host: Host = open_host(host, provision=provision, python=python)
        self._load_from = load_from
        self._nginx = nginx
        self._engine = engine
        self._start_timeout = start_timeout
        self._hold = hold
        self._chdir = chdir
        self._environment = dict(environment or {})
        self._start = start
        self._headers = checked(headers)
        self._require = tuple(parse_all(require))
        self._allow_limited = allow_limited
        self._observer = observer or ShownOn(Lines(on_stderr))
        self._open = ExitStack()

    def __enter__(self) -> Lab:
        """Keep the way to the host open, which else is opened for each site that runs alone."""
        with told(self._observer.waiting, f"the host {self.host.name} is brought up"):
            self._open.enter_context(self.host.open())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def serve(
        self,
        topology: str | Topology,
        app: str = SAMPLE_APP,
        *,
        command: str | None = None,
        slow: str | None = None,
        fast: str | None = None,
        port: int = 0,
        start_timeout: float | None = None,
        journeys: Iterable[Journey] = (),
        login: Journey | None = None,
    ) -> Site:
        """Bring a site up and return it; leave it as a context, or `close` it.

        `slow` and `fast` are the paths of the concurrency probe; `fast` is also the first request
        that the app is asked: `/`, or `/test` of the sample app. Without `slow` the slow request is
        the fast one, held by the lab where the server runs the app. `port` 0 takes any free one;
        `start_timeout` is the lab's unless given. A load that says nothing else sends `journeys`.
        `login` is a journey that is walked once when the site is up, and whose cookies are those
        of all that is sent then, but for journeys. Raises UsageError and MissingComponent before
        anything is started, StartError after what was started has been stopped again.
        """
        if start_timeout is None:
            start_timeout = self._start_timeout
        _check_start_timeout(start_timeout)
        if isinstance(topology, str):
            topology = Topology.parse(topology)
        fast = fast_path(fast, app)
        for path in (fast,) if slow is None else (fast, slow):
            Request(path)
        parse_app(app)
        if login is not None and self._load_from == "host":
            raise UsageError(
                "as with load_from=host: a login is walked from here, and its cookies are not sent "
                "to the host; leave one out"
            )
        spec = Spec(
            topology=topology,
            app=app,
            command=command,
            fast=fast,
            nginx=self._nginx,
            start_timeout=start_timeout,
            port=port,
            folder=self.host.folder(),
            path=self.host.path(),
            chdir=self._chdir,
            environment=self._environment,
            start=self._start,
            headers=self._headers,
            certificate=certificate_of((ADDRESS, "localhost")) if topology.secure else None,
        )
        what = f"what {topology.server} needs is installed for the app's Python, into a cache"
        lent: Mapping[str, str] = {}
        if isinstance(self.host, TakesPython):
            with told(self._observer.waiting, what):
                lent = self.host.lend(topology.server)
        with told(self._observer.waiting, f"{topology} is brought up"):
            deployment = self.host.deploy(spec)
            deployment.start()
            machine = self._machine(topology, deployment, lent)
        site = Site(
            topology=topology,
            host=self.host.name,
            machine=machine,
            app=command if topology.server == "command" and command else deployment.backends[0].app,
            slow=slow,
            fast=fast,
            hold=self._hold,
            engine=self._engine,
            deployment=deployment,
            sender=(
                deployment.beside()
                if self._load_from == "host"
                else FromHere(deployment, self._headers, trust=spec.trust)
            ),
            headers=self._headers,
            require=self._require,
            allow_limited=self._allow_limited,
            observer=self._observer,
            journeys=tuple(journeys),
            trust=spec.trust,
        )
        if login is not None:
            try:
                site.sign_in(login)
            except BaseException:
                site.abandon()
                raise
        return site

    def _machine(
        self, topology: Topology, deployment: Deployment, lent: Mapping[str, str]
    ) -> dict[str, Any]:
        """Where the site runs, with the front that serves it, and what its Python was lent; empty
        when that is this machine in this Python."""
        about = self.host.about()
        if lent:
            about = about | {"lent": dict(lent)}
        if not about or topology.front is None:
            return about
        return about | {"versions": about["versions"] | {topology.front: str(deployment.binary)}}


def fast_path(given: str | None, app: str) -> str:
    """The fast path of an app: the given one, `/`, or `/test` of the sample app."""
    if given is not None:
        return given
    return FAST_OF_SAMPLE if app == SAMPLE_APP else FAST


def _check_start_timeout(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"start_timeout={seconds}: seconds greater than 0 are needed")
