"""`Site`: a running topology that can be asked, probed and loaded."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_winserve.deployment.contract import READY_RUN, Deployment, Sender
from pytest_winserve.deployment.sender import FromHere
from pytest_winserve.errors import AppError, CriterionFailed, HostLost, StopError, UsageError
from pytest_winserve.fronts import get_front
from pytest_winserve.lab.observer import MeasurementKind, Observer, Silent, progress_text
from pytest_winserve.lab.refused_bodies import refused_bodies
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.engine import Progress, Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.journeys.journey import Journey
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.measures.outcomes import NO_BACKEND
from pytest_winserve.load.plan import Plan, Request, Stage
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.load.results.complaints import logged_dict
from pytest_winserve.load.results.ledger import Ledger, reconcile
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import BackendShare
from pytest_winserve.load.results.whereabouts import Asked, Told, astray
from pytest_winserve.load.run_headers import not_shown
from pytest_winserve.load.sending import with_singles
from pytest_winserve.load.walking import Walk
from pytest_winserve.probe.probe import ROUNDS
from pytest_winserve.probe.verdicts import Capacity, SlowRequest, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.header_fields import merged, value_of
from pytest_winserve.system.locks import measuring, wait_text
from pytest_winserve.system.ports import Address
from pytest_winserve.system.trust import SYSTEM, Trust, site_url
from pytest_winserve.system.waits import told
from pytest_winserve.tags import REQUEST_HEADER, lab_tag, load_tag
from pytest_winserve.topology import Topology

if TYPE_CHECKING:
    from requests import Response

    from pytest_winserve.lab.client import Client
    from pytest_winserve.lab.several_processes import Findings


LEDGER_SECONDS = 2.0
"""How long the servers' side may lag behind: a front logs a request after its last byte."""

LOG_LINES = 3
"""How much of each log's end goes into the error of a criterion that does not hold."""

LOST_SECONDS = 2.0
"""How long a load goes on after its host was lost: one that ends then has a whole result."""

ROUTES_SHOWN = 8

WORTH_TELLING = 1.0
"""Seconds of waiting for the measuring lock that the reader of the results is told of."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One process of the server. The counts are of all traffic but the lab's own since the start;
    None where the server cannot be made to count. `log` is the end of what it wrote."""

    index: int
    url: str
    pid: int
    requests: int | None
    peak_in_flight: int | None
    log: str


@dataclass(slots=True)
class Site:
    """A running topology. Made by `Lab.serve` and by the fixtures, never directly."""

    topology: Topology
    host: str
    machine: Mapping[str, Any]
    app: str
    slow: str | None
    fast: str
    hold: float
    engine: str
    deployment: Deployment
    sender: Sender
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    journeys: tuple[Journey, ...] = ()
    require: tuple[Criterion, ...] = ()
    allow_limited: bool = False
    observer: Observer = field(default_factory=Silent)
    trust: Trust | None = None
    """What its clients trust; None where it is not served over TLS."""
    on_progress: Callable[[Progress], None] = field(default=lambda progress: None, repr=False)
    """Called about once a second while a load runs."""
    on_result: Callable[[Result], None] = field(default=lambda result: None, repr=False)
    """Called with the result of each load before the observer is told of it."""
    own_headers: Mapping[str, str] = field(init=False, repr=False)
    """The headers without the cookies of a login: a journey's users begin without them."""
    _login: Walk | None = field(default=None, init=False)
    """The walk that signed in."""
    _client: Client | None = field(default=None, init=False)
    _runs: itertools.count[int] = field(init=False)
    _closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.own_headers = self.headers
        self._runs = itertools.count(READY_RUN + 1)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, of the front or of the one backend; https with front.tls."""
        return site_url(self.deployment.address, self.trust)

    @property
    def declared(self) -> Concurrency:
        """How many requests the site runs at once, by what its server declares over there."""
        return self.topology.runs(self.deployment.backends[0].declared)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The backends with their counts as of now."""
        counts = {count.index: count for count in self.deployment.backend_counts()}
        logs = self.deployment.logs()
        return tuple(
            Backend(
                info.index,
                _url(self.deployment.reach(info.port)),
                info.pid,
                counts[info.index].started if info.index in counts else None,
                counts[info.index].peak_in_flight if info.index in counts else None,
                logs.get(f"backend-{info.index}", ""),
            )
            for info in self.deployment.backends
        )

    @property
    def client(self) -> Client:
        """A `requests.Session` that resolves paths against the site, with the lab's headers."""
        if self._client is None:
            # Not before it is wanted: a site is up sooner without it.
            from pytest_winserve.lab.client import Client

            self._client = Client(self.url, self.own_headers, self.trust)
            for cookie in () if self._login is None else self._login.cookies():
                self._client.keep(cookie)
        return self._client

    def get(self, path: str, **kw: Any) -> Response:
        """GET `path`; arguments and errors are those of `requests.get`."""
        return self.client.get(path, **kw)

    def sign_in(self, journey: Journey) -> None:
        """Walk a journey once, and have its cookies sent from now on: by `get`, probes, capacities
        and loads without journeys. Raises AppError when a step is not answered as it expects."""
        target = Target(self.url, warmup_tag=self._lab_tag(), trust=self.trust or SYSTEM)
        walk = Walk(journey.with_headers(self.headers), target)
        for one in walk:
            if one.wrong:
                raise AppError(
                    f"the journey {journey.name!r} that signs in broke off at {one.label}: status "
                    f"{one.status}, {one.wrong}\n{one.beginning}"
                )
        if not walk.cookie_for(self.fast):
            raise AppError(
                f"the journey {journey.name!r} was walked, but left no cookie for {self.fast}"
            )
        self._login = walk
        self.headers = self.headers_for(self.fast)
        self.sender = FromHere(self.deployment, self.headers_for, trust=self.trust)
        self._client = None

    def headers_for(self, path: str) -> Mapping[str, str]:
        """The headers of a request for a path, with those cookies of the login that go there."""
        cookie = "" if self._login is None else self._login.cookie_for(path)
        return merged(self.own_headers, {"Cookie": cookie}) if cookie else self.own_headers

    def _dressed(self, plan: Plan) -> Plan:
        """The plan with the headers of what it sends."""
        if plan.journeys:
            return plan.with_headers(self.own_headers)
        return replace(
            plan,
            requests=tuple(
                each.with_headers(self.headers_for(each.path)) for each in plan.requests
            ),
        )

    def logs(self) -> dict[str, str]:
        """The end of each log by name: `backend-0`, ..., and the front's."""
        return self.deployment.logs()

    def deaths(self) -> list[str]:
        """Which processes of the site died, and how; empty while all is well."""
        return self.deployment.deaths()

    def probe(self, slow: str | None = None, fast: str | None = None, sleepers: int = 1) -> Verdict:
        """Does a slow request block a fast one? See `Verdict`. Where neither the call nor the site
        has a slow path, the slow request is the fast one, held by the lab.

        Raises UsageError for fewer than 1 sleeper and for a server that cannot hold a request,
        ProbeError when the paths cannot show it, and CriterionFailed when a criterion of the run
        does not hold.
        """
        __tracebackhide__ = True
        if sleepers < 1:
            raise UsageError(f"sleepers={sleepers}: at least 1 slow request is needed")
        path = _path(fast or self.fast, "fast")
        wanted = self._slow_request(slow, path)
        with self._alone("probe"), self._told("probe"):
            positions = self.deployment.log_positions()
            verdict = self.sender.probe(
                wanted,
                path,
                sleepers,
                self.topology.count,
                (self._lab_tag(), self._lab_tag()),
            )
        self._judge("verdict", verdict, verdict.to_dict(), positions)
        return verdict

    def capacity(self, limit: int = 64, slow: str | None = None) -> Capacity:
        """How many slow requests the site runs at the same time. See `Capacity`.

        Raises as `probe` does.
        """
        __tracebackhide__ = True
        if limit < 1:
            raise UsageError(f"limit={limit}: at least 1 is needed")
        wanted = self._slow_request(slow, self.fast)
        with self._alone("capacity"), self._told("capacity"):
            positions = self.deployment.log_positions()
            found = self.sender.capacity(
                wanted,
                limit,
                self.topology.count,
                self.declared,
                tuple(self._lab_tag() for _ in range(ROUNDS)),
            )
        self._judge("capacity", found, found.to_dict(), positions)
        return found

    def several_processes(self) -> Findings:
        """What several processes mean for this app: whether users are lost, and what each process
        has for itself, which the observer is told as events."""
        # Not before it is wanted: a site is up sooner without it.
        from pytest_winserve.lab.several_processes import judged, look

        topology = self.topology
        with self._alone("the look at its processes"), self._told("the look at its processes"):
            urls = [_url(self.deployment.reach(info.port)) for info in self.deployment.backends]
            front = self.url if topology.keeps_users else None
            cookies = look(
                urls,
                front,
                self.fast,
                self._lab_tag(),
                topology.processes,
                self.headers,
                self.trust,
            )
            found = judged(
                self.deployment.own_states(),
                cookies,
                keeps_users=topology.keeps_users and topology.processes == topology.count,
                processes=topology.processes,
            )
        for text in (*found.lost, *found.apart, *found.told):
            self.observer.event(text)
        return found

    def load(
        self,
        *,
        users: int | None = None,
        duration: float | None = None,
        count: int | None = None,
        path: str | None = None,
        requests: Iterable[Request | str] | None = None,
        keepalive: bool = True,
        rate: float | None = None,
        stages: Iterable[Stage | tuple[float, float]] | None = None,
        think_time: float = 0.0,
        timeout: float = 10.0,
        warmup: float = 0.0,
        connect_rate: float | None = None,
        journeys: Iterable[Journey] | None = None,
        engine: str | None = None,
    ) -> Result:
        """Send a load and account for every request of it. See `Plan.make` for the arguments.

        What is sent are the site's `journeys` if it has any, else its fast path, unless `path`,
        `requests` or `journeys` say it. Raises UsageError for a plan that cannot be,
        LoadError when the engine fails, CriterionFailed when a criterion of the run does not hold.
        """
        __tracebackhide__ = True
        if path is None and requests is None and journeys is None:
            journeys = self.journeys or None
        plan = Plan.make(
            users=users,
            duration=duration,
            count=count,
            path=self.fast if (path, requests, journeys) == (None, None, None) else path,
            requests=requests,
            keepalive=keepalive,
            rate=rate,
            stages=stages,
            think_time=think_time,
            timeout=timeout,
            warmup=warmup,
            connect_rate=connect_rate,
            journeys=journeys,
        )
        get_engine(engine or self.engine)  # raises for one that is not known
        tag = load_tag(next(self._runs))
        known: list[Progress] = []
        gone_since = math.inf

        def follow(progress: Progress) -> None:
            nonlocal gone_since
            begun()
            known[:] = [progress]
            self.on_progress(progress)
            self.observer.progress(f"{self.topology}: {progress_text(progress)}")
            if self.deployment.lost is not None:
                gone_since = min(gone_since, progress.elapsed)
                if progress.elapsed > gone_since + LOST_SECONDS:
                    raise HostLost(self.deployment.lost)

        with self._alone("load"), self._told("load") as begun:
            before = self.deployment.deaths()
            single = self._singles(plan)
            sent = self._dressed(plan)
            positions = self.deployment.log_positions()
            self.deployment.watch()
            try:
                result = self.sender.load(
                    engine or self.engine,
                    sent,
                    tag,
                    self._lab_tag(),
                    follow,
                )
            except HostLost as error:
                last = progress_text(known[0]) if known else "nothing of the load"
                raise HostLost(f"{error}\nwhat is known: {last}") from None
            finally:
                usage = self.deployment.usage()
                self.observer.progress("")
            result = replace(
                self._placed(with_singles(self._with_ledger(result, tag, before), single), sent),
                plan=plan.with_headers(not_shown(self.headers)),
                site=usage,
                logged=self.deployment.complaints(positions),
            )
        self.on_result(result)
        if self.deployment.lost is not None:
            self.observer.measured("result", result.to_dict(), ())
            raise HostLost(f"{self.deployment.lost}\nwhat is known: {result.summary()}")
        self._judge("result", result, result.to_dict(), positions)
        return result

    def check_fast_path(self) -> None:
        """Raise AppError when the app answered its first request, GET of the fast path, with an
        error: nothing can be measured by it."""
        first = self.deployment.backends[0]
        status = first.status
        if self.headers is not self.own_headers:  # the first request was without its login
            tag = {REQUEST_HEADER: self._lab_tag()}
            status = self.get(self.fast, headers=tag, timeout=30).status_code
        if status >= 400:
            raise AppError(
                f"GET {self.fast} is answered {status} by {self.app}: "
                + _mend(status, first.routes)
                + first.missed
            )

    def _slow_request(self, slow: str | None, fast: str) -> SlowRequest:
        path = slow or self.slow
        holds = all(info.instrumented for info in self.deployment.backends)
        if path is not None:
            otherwise = "; without --slow the lab holds the fast one for a second" if holds else ""
            return SlowRequest(_path(path, "slow"), otherwise=otherwise)
        if not holds:
            raise UsageError(
                f"the server {self.topology.server} cannot hold a request, nothing of the lab's "
                "runs in it: name a slow path of the app's own by --slow"
            )
        return SlowRequest(fast, self.hold)

    def close(self) -> None:
        """Stop the site. Raises StopError that lists all that did not stop as it should."""
        if not self._leave():
            return
        deaths = self.deployment.deaths()
        with told(self.observer.waiting, f"{self.topology} is stopped"):
            problems = self.deployment.stop()
        if problems:
            died = [f"before that: {death}" for death in deaths]
            raise StopError(
                "\n".join([f"{self.topology} did not stop as it should:", *problems, *died])
            )

    def abandon(self) -> None:
        """End the site at once, without asking how it stops; for what Ctrl-C interrupts."""
        if not self._leave():
            return
        self.deployment.abandon()

    def _leave(self) -> bool:
        """Close the client; whether this is the first call, and the site has still to be ended."""
        first, self._closed = not self._closed, True
        if first and self._client is not None:
            self._client.close()
        return first

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.abandon()
        else:
            self.close()

    def _lab_tag(self) -> str:
        return lab_tag(next(self._runs))

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Hold the machine's measuring lock, with the wait for it shown and kept."""

        def show(seconds: float) -> None:
            self.observer.waiting(f"{self.topology}: {what} {wait_text(seconds)}")

        with measuring(show) as waited:
            self.observer.progress("")
            if waited > WORTH_TELLING:
                self.observer.event(
                    f"{what} waited {waited:.1f} s for another measurement on this machine"
                )
            if self._client is not None:
                # An idle connection takes a place at servers that run few at a time.
                self._client.close()
            yield

    def _singles(self, plan: Plan) -> tuple[Reference, ...]:
        """What a `get` of each request gets now: with the cookies of the client, if it has any."""
        jar = None if self._client is None else self._client.cookie_of
        requests = [
            request
            if jar is None or any(name.lower() == "cookie" for name in request.headers)
            else replace(request, headers={**request.headers, **jar(request.path)})
            for request in plan.requests
        ]
        if plan.journeys:
            return ()  # what a step gets depends on those before it
        own = self._dressed(plan)
        sent = self._dressed(replace(plan, requests=tuple(requests)))
        found = self.sender.singles(sent, self._lab_tag())
        more = {
            label
            for label, mine, usual in zip(plan.labels, sent.requests, own.requests, strict=True)
            if mine.headers != usual.headers
        }
        return tuple(replace(one, cookies=one.request in more) for one in found)

    def _placed(self, result: Result, plan: Plan) -> Result:
        """With what in its answers leads elsewhere than to where the client asked, by the plan as
        it was sent."""
        if result.answers is None:
            return result
        scheme, _, address = result.url.partition("://")
        asked = {
            label: Asked(scheme, value_of(headers, "Host", address), path)
            for label, path, headers in plan.asked
        }
        told = [
            *(Told(one.request, one.location, one.set_cookies) for one in result.answers.before),
            *(Told(kind.request, kind.location) for kind in result.answers.kinds),
        ]
        backends = [info.address for info in self.deployment.backends]
        return replace(
            result, answers=replace(result.answers, astray=astray(asked, told, backends))
        )

    def _told(self, what: str) -> AbstractContextManager[Callable[[], None]]:
        """Tells of a measurement that takes long; calling what it gives is the end of it."""
        return told(self.observer.waiting, f"{self.topology}: {what}")

    def _with_ledger(self, result: Result, tag: str, before: list[str]) -> Result:
        deadline = time.perf_counter() + LEDGER_SECONDS
        while True:
            ledger = self._reconcile(result, tag, before)
            if not ledger.unaccounted or time.perf_counter() > deadline:
                break
            time.sleep(0.02)
        no_room = self.deployment.no_room() if ledger.unaccounted else None
        if no_room is not None:
            ledger = replace(ledger, notes=(*ledger.notes, no_room))
        front = self.deployment.front_counts(tag)
        marked = bool(self.deployment.backend_counts(tag)) and bool(result.by_backend)
        if front is None or marked or not result.answered:
            return replace(result, ledger=ledger)
        # A server that does not say who answered, or an engine that does not see it; the front
        # knows, also that it was itself. Whose times were whose it does not tell.
        shares = {
            str(info.index): BackendShare(front.answered.get(info.address, 0), Histogram())
            for info in self.deployment.backends
        }
        own = result.answered - sum(share.answers for share in shares.values())
        if own > 0:
            shares[NO_BACKEND] = BackendShare(own, Histogram())
        return replace(result, ledger=ledger, by_backend=shares)

    def _reconcile(self, result: Result, tag: str, before: list[str]) -> Ledger:
        deaths = [death for death in self.deployment.deaths() if death not in before]
        counts = self.deployment.backend_counts(tag)
        notes = [f"died during the load: {death}" for death in deaths]
        raised = sum(count.raised for count in counts)
        if raised:
            notes.append(f"the app ended {raised} requests with an exception")
        if self.deployment.in_flight(tag):
            notes.append(f"{self.deployment.in_flight(tag)} requests still run in the backends")
        front = self.deployment.front_counts(tag)
        notes += refused_bodies(self.topology, front, result.plan)
        places = {info.address for info in self.deployment.backends}
        for address, tries in (front.unanswered if front is not None else {}).items():
            if address not in places:
                notes.append(
                    f"no backend listens at {address}, where the front tried {tries} times"
                )
        own = sum(share.answers for key, share in result.by_backend.items() if key != NO_BACKEND)
        unlogged = 0
        if self.topology.front and any(death.startswith(self.topology.front) for death in deaths):
            unlogged = get_front(self.topology.front).unlogged(self.topology.all_front_options)
        return reconcile(
            result.outcomes,
            result.sent,
            own,
            front,
            counts,
            notes,
            unlogged,
        )

    def _judge(
        self,
        kind: MeasurementKind,
        subject: Verdict | Capacity | Result,
        data: dict[str, Any],
        positions: dict[str, int],
    ) -> None:
        """Tell the observer, then raise when a criterion of the run does not hold; the error ends
        in what the site has logged since `positions`."""
        __tracebackhide__ = True
        of = {"verdict": "probe", "capacity": "capacity", "result": "load"}[kind]
        criteria = [criterion for criterion in self.require if criterion.subject == of]
        if not isinstance(subject, Result):
            data = data | logged_dict(self.deployment.complaints(positions))
        allow = {"allow_limited": self.allow_limited} if isinstance(subject, Result) else {}
        self.observer.measured(kind, data, subject.checks(*criteria, **allow))
        try:
            subject.require(*criteria, **allow)
        except CriterionFailed as error:
            raise CriterionFailed("\n".join([str(error), *self._log_ends(positions)])) from None

    def _log_ends(self, positions: dict[str, int]) -> list[str]:
        """The last lines of each log that has any after these positions."""
        lines = []
        for name, text in self.deployment.logs(positions).items():
            last = [line for line in text.splitlines() if line.strip()][-LOG_LINES:]
            lines += [f"  the end of the log of {name}:", *(f"    {line}" for line in last)]
            if not last:
                lines.pop()
        return lines


def _url(address: Address) -> str:
    return site_url(address, None)


def _path(path: str, what: str) -> str:
    """A path that can be written into a request; UsageError says which of them cannot."""
    try:
        return Request(path).path
    except UsageError as error:
        raise UsageError(f"the {what} path: {error}") from None


def _mend(status: int, routes: Sequence[Mapping[str, Any]] | None) -> str:
    """What to write instead of a fast path that is answered with an error."""
    if status in (401, 403):
        return "name a path that everybody may see by --fast"
    plain = [each["rule"] for each in routes or () if each["plain"] and "GET" in each["methods"]]
    if not plain:
        return "name a path of the app's own by --fast"
    more = f" and {len(plain) - ROUTES_SHOWN} more" if len(plain) > ROUTES_SHOWN else ""
    return (
        f"name another path by --fast; its GET routes are {', '.join(plain[:ROUTES_SHOWN])}{more}"
    )
