"""What sends the requests of probes and loads, on the machine where this code runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_winserve.deployment.contract import Tell
from pytest_winserve.load.engine import Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.plan import Plan, Request
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.sending import singles
from pytest_winserve.probe.probe import Counting, Look, capacity, probe
from pytest_winserve.probe.verdicts import Capacity, SlowRequest, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.exchange import Headers
from pytest_winserve.system.header_fields import merged, value_of
from pytest_winserve.system.ports import ADDRESS
from pytest_winserve.system.trust import SYSTEM, Trust, site_url

if TYPE_CHECKING:
    from pytest_winserve.deployment.contract import Deployment


class FromHere:
    """Sends from this machine to where a site is reached from here.

    `headers` are those of every request of a probe or a capacity, or say them for a path; a plan's
    requests have them already. `look` is called while a probe or a capacity is under way; what it
    raises ends that. `trust` is what clients of a site trust that is served over TLS.
    """

    def __init__(
        self,
        deployment: Deployment,
        headers: Headers,
        look: Look = lambda: None,
        trust: Trust | None = None,
    ) -> None:
        self._deployment = deployment
        self._headers = headers
        self._look = look
        self._trust = trust

    def probe(
        self, slow: SlowRequest, fast: str, sleepers: int, backends: int, tags: tuple[str, str]
    ) -> Verdict:
        __tracebackhide__ = True
        address = self._deployment.address
        counting = self._counting()
        look, headers, trust = self._look, self._headers, self._trust
        return probe(address, slow, fast, sleepers, backends, tags, counting, look, headers, trust)

    def capacity(
        self,
        slow: SlowRequest,
        limit: int,
        backends: int,
        declared: Concurrency,
        tags: tuple[str, ...],
    ) -> Capacity:
        __tracebackhide__ = True
        address, next_tag = self._deployment.address, iter(tags).__next__
        counting = self._counting()
        look, headers, trust = self._look, self._headers, self._trust
        return capacity(
            address, slow, limit, backends, declared, next_tag, counting, look, headers, trust
        )

    def singles(self, plan: Plan, tag: str) -> tuple[Reference, ...]:
        # Not through the front: one that gets no answer tries the next backend, and the next, and
        # takes them all for down when the load begins. But with what the front says of a client.
        if self._deployment.binary is not None:
            requests = tuple(as_from_front(request, self._url) for request in plan.requests)
            plan = replace(plan, requests=requests)
        backend = self._deployment.reach(self._deployment.backends[0].port)
        plain = site_url(self._deployment.address, None)
        return singles(plan, Target(plain, warmup_tag=tag), backend)

    def load(self, engine: str, plan: Plan, tag: str, warmup_tag: str, tell: Tell) -> Result:
        nonce = self._deployment.nonce
        target = Target(self._url, tag, warmup_tag, nonce, self._trust or SYSTEM)
        return get_engine(engine).run(plan, target, tell)

    @property
    def _url(self) -> str:
        return site_url(self._deployment.address, self._trust)

    def _counting(self) -> Counting:
        deployment = self._deployment

        def peaks(tag: str) -> tuple[int, ...] | None:
            if deployment.in_flight(tag) is None:
                return None
            return tuple(count.peak_in_flight for count in deployment.backend_counts(tag))

        return Counting(deployment.in_flight, peaks)


def as_from_front(request: Request, url: str) -> Request:
    """A request of a client of this machine as a front at `url` passes it on."""
    scheme, _, host = url.partition("://")
    forwarded = {
        "X-Forwarded-For": ADDRESS,
        "X-Forwarded-Proto": scheme,
        "X-Forwarded-Host": value_of(request.headers, "Host", host),
    }
    return replace(request, headers=merged(request.headers, forwarded))
