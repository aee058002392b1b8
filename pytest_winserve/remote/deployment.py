"""A topology whose processes run on another machine, and what sends to it from over there."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pytest_winserve.backend.own_state import OwnState
from pytest_winserve.deployment.contract import BackendInfo, Spec, Tell
from pytest_winserve.deployment.readiness import first_answer, ready_headers
from pytest_winserve.errors import HostLost, StartError, StartTimeout
from pytest_winserve.load.engine import Progress
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.load.results.complaints import Complaint
from pytest_winserve.load.results.ledger import BackendCounts, FrontCounts
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.usage import SiteUsage
from pytest_winserve.probe.verdicts import Capacity, Exchange, SlowRequest, Verdict
from pytest_winserve.remote.gateway import Gateway
from pytest_winserve.remote.link import Link
from pytest_winserve.system.ports import Address
from pytest_winserve.system.program import Deadline
from pytest_winserve.tags import BACKEND_HEADER, TOTALS
from pytest_winserve.webservers.program import FrontBinary

REACH_SECONDS = 10.0
"""How long a site that answers over there may take to answer from here; through a forward to an
emulated machine an answer takes seconds."""

Value = TypeVar("Value")


class FromThere:
    """Sends to a site from its own machine; see `Sender`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def probe(self, slow: SlowRequest, *arguments: Any) -> Verdict:
        found = self._link.work("probe", asdict(slow), *arguments)
        return Verdict(**{
            name: tuple(Exchange(**each) for each in found[name])
            for name in ("slow", "fast", "blocked", "idle")
        })  # fmt: skip

    def capacity(self, slow: SlowRequest, *arguments: Any) -> Capacity:
        found = self._link.work("capacity", asdict(slow), *arguments)
        peaks = found["per_backend"]
        return Capacity(**found | {"per_backend": None if peaks is None else tuple(peaks)})

    def singles(self, plan: Plan, tag: str) -> tuple[Reference, ...]:
        return tuple(map(Reference.from_dict, self._link.work("singles", plan.to_dict(), tag)))

    def load(self, engine: str, plan: Plan, tag: str, warmup_tag: str, tell: Tell) -> Result:
        def show(told: dict[str, Any]) -> None:
            tell(Progress(**told))

        words = (engine, plan.to_dict(), tag, warmup_tag)
        return Result.from_dict(self._link.work("load", *words, tell=show))


class RemoteDeployment:
    """The deployment on another machine; see `Deployment`. What cannot be known any more, because
    the machine is lost, is left out; `lost` and `deaths` say so."""

    def __init__(self, gateway: Gateway, spec: Spec) -> None:
        self.nonce = ""
        self.backends: tuple[BackendInfo, ...] = ()
        self._gateway = gateway
        self._port = 0
        gateway.enter()
        try:
            self._link = gateway.link()
            self._spec = gateway.place(spec)
            plan = asdict(self._spec) | {"topology": str(spec.topology)}
            binary = self._link("deploy", plan)
        except BaseException:
            gateway.leave()
            raise
        self.binary = FrontBinary(**binary | {"path": Path(binary["path"])}) if binary else None

    @property
    def address(self) -> Address:
        return self.reach(self._port)

    @property
    def lost(self) -> str | None:
        return self._link.look()

    def reach(self, port: int) -> Address:
        return self._gateway.reach(port)

    def beside(self) -> FromThere:
        return FromThere(self._link)

    def start(self) -> None:
        try:
            up = self._link("start", seconds=self._spec.start_timeout)
        except HostLost as error:
            self._leave()
            raise StartError(str(error)) from None
        except BaseException:
            self._leave()
            raise
        self.nonce, self._port = up["nonce"], up["port"]
        self.backends = tuple(BackendInfo(**info) for info in up["backends"])
        try:
            self._see_it_from_here()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> list[str]:
        try:
            return self._ask(list[str](), "stop")
        finally:
            self._leave()

    def abandon(self) -> None:
        try:
            self._ask(None, "abandon")
        finally:
            self._leave()

    def deaths(self) -> list[str]:
        deaths = self._ask(list[str](), "deaths")
        return [self.lost] if self.lost is not None else deaths

    def backend_counts(self, tag: str = TOTALS) -> list[BackendCounts]:
        found = self._ask(list[dict[str, Any]](), "backend_counts", tag)
        return [BackendCounts(**each) for each in found]

    def in_flight(self, tag: str) -> int | None:
        return self._ask(None, "in_flight", tag)

    def front_counts(self, tag: str) -> FrontCounts | None:
        found = self._ask(None, "front_counts", tag)
        return None if found is None else FrontCounts(**{k: Counter(v) for k, v in found.items()})

    def watch(self) -> None:
        self._ask(None, "watch")

    def usage(self) -> SiteUsage | None:
        found = self._ask(None, "usage")
        return None if found is None else SiteUsage.from_dict(found)

    def pids(self) -> dict[str, int]:
        return self._ask(dict[str, int](), "pids")

    def no_room(self) -> str | None:
        return self._ask(None, "no_room")

    def own_states(self) -> list[OwnState]:
        found = self._ask(list[dict[str, Any]](), "own_states")
        return [OwnState.from_dict(each) for each in found]

    def log_positions(self) -> dict[str, int]:
        return self._ask(dict[str, int](), "log_positions")

    def complaints(self, since: dict[str, int]) -> tuple[Complaint, ...] | None:
        found = self._ask(None, "complaints", since)
        return None if found is None else tuple(Complaint(**one) for one in found)

    def logs(self, since: dict[str, int] | None = None, size: int = 4000) -> dict[str, str]:
        return self._ask(dict[str, str](), "logs", since, size)

    def _see_it_from_here(self) -> None:
        """It has answered over there; raise StartError when it does not answer the lab."""

        def look() -> None:
            deaths = self.deaths()
            if deaths:
                raise StartError("; ".join(deaths))

        headers = ready_headers(self._spec)
        address = self.address  # the way there may take seconds to make
        deadline = Deadline.after(REACH_SECONDS)
        try:
            answer = first_answer(
                address, self._spec.fast, headers, deadline, look, self._spec.trust
            )
        except StartTimeout as error:
            raise StartError(
                f"the site answers on the host {self._gateway.name} itself, but not from here: "
                f"{error}"
                f"\n  a server of your own has to listen on {{address}}:{{port}}, which the lab "
                f"fills in; over there that is {self._spec.listen.address}"
            ) from None
        mark = answer.headers.get(BACKEND_HEADER.lower(), "")
        if all(info.instrumented for info in self.backends) and not mark.startswith(self.nonce):
            raise StartError(
                "{}:{} is answered by somebody else, not by this site".format(*address)
                + f" on the host {self._gateway.name} (status {answer.status})"
            )

    def _ask(self, unknown: Value, name: str, *arguments: Any) -> Value:
        try:
            value: Value = self._link(name, *arguments)
        except HostLost:
            return unknown
        return value

    def _leave(self) -> None:
        self._link.close()
        self._gateway.leave()
