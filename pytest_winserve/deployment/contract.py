"""What a running topology is to the lab, wherever its processes are.

Everything that crosses to another machine is plain data: a `Spec` goes in, counts and texts come
out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_winserve.backend.own_state import OwnState
from pytest_winserve.load.engine import Progress
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.load.results.complaints import Complaint
from pytest_winserve.load.results.ledger import BackendCounts, FrontCounts
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.usage import SiteUsage
from pytest_winserve.probe.verdicts import Capacity, SlowRequest, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.certificate import Certificate
from pytest_winserve.system.ports import ADDRESS, ANYWHERE, Address, Listen
from pytest_winserve.system.trust import Trust
from pytest_winserve.tags import TOTALS
from pytest_winserve.topology import Topology
from pytest_winserve.webservers.program import FrontBinary

READY_RUN = 1
"""The run number of the readiness requests; loads and probes count from the next one on."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run. `fast` is the path of the readiness request; `port` 0 is any free one.

    `folder` is where the app runs, or `chdir` in that, and `path` what is put on Python's path for
    it; they are as that machine calls them. `environment` is set for the app and its server.
    `listen` is where its servers listen. `start` is `together` or `one-by-one`: whether the next
    backend is started when the one before answers. `python` is another Python than this one that
    runs the backends, and `lent` are folders for the end of its path, the first with this package.
    `headers` are those that every request of the lab carries; their values may be secrets.
    `certificate` is that of the front, where it serves over TLS. `advice` is what to do about a
    module that the app lacks; hosts on other machines add their own.
    """

    topology: Topology
    app: str
    command: str | None
    fast: str
    nginx: str
    start_timeout: float
    port: int
    folder: str
    path: tuple[str, ...]
    chdir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    listen: Listen = ANYWHERE
    start: str = "together"
    python: str | None = None
    lent: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: Certificate | None = None
    advice: str = ""

    @property
    def trust(self) -> Trust | None:
        """What clients of the site trust; None where it is not served over TLS."""
        return None if self.certificate is None else self.certificate.trust

    @property
    def in_turn(self) -> bool:
        """Whether each backend is started when the one before answers."""
        return self.start == "one-by-one"


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """A backend as it came up: its pid is the serving process's own, not a launcher's. `declared`
    is how many requests it runs at once, as its server says on that machine. `app` is what it has
    loaded, by its whole name; `routes` are the app's, None where they are not known. `not_run` says
    what of the app's file stands under `if __name__ == "__main__"`, as `lines 8 to 12 of app.py`.
    `status` is that of the answer to the first request."""

    index: int
    port: int
    pid: int
    instrumented: bool
    declared: Concurrency
    app: str = ""
    routes: list[dict[str, Any]] | None = None
    not_run: str = ""
    status: int = 200

    @property
    def missed(self) -> str:
        """What the app may miss when it answers with an error, as the end of a message."""
        if not self.not_run:
            return ""
        return (
            f'; {self.not_run} stand under `if __name__ == "__main__"` and were not run, because a '
            "server imports the file: what the app needs of them belongs above that line"
        )

    @property
    def address(self) -> str:
        """As the front and the ledger know it."""
        return f"{ADDRESS}:{self.port}"


class Deployment(Protocol):
    """The processes of one topology. `start`, use, `stop`; both may be called once."""

    @property
    def nonce(self) -> str:
        """What marks the answers of its backends."""

    @property
    def backends(self) -> tuple[BackendInfo, ...]:
        """The backends, once it is started."""

    @property
    def binary(self) -> FrontBinary | None:
        """The front's program, if there is a front."""

    @property
    def address(self) -> Address:
        """Where it answers, as reached from here."""

    @property
    def lost(self) -> str | None:
        """Why nothing more can be known of it, when its machine is out of reach."""

    def reach(self, port: int) -> Address:
        """How a port of its machine is reached from here."""

    def beside(self) -> Sender:
        """What sends to it from its own machine."""

    def start(self) -> None:
        """Bring everything up, or raise and leave nothing behind."""

    def stop(self) -> list[str]:
        """Stop everything; every step runs. Returns what did not go as it should."""

    def abandon(self) -> None:
        """End everything at once, and without judging; for what Ctrl-C interrupts."""

    def deaths(self) -> list[str]:
        """Which of its processes died, and how."""

    def backend_counts(self, tag: str = TOTALS) -> list[BackendCounts]:
        """What each backend that can count has counted for `tag`."""

    def in_flight(self, tag: str) -> int | None:
        """Requests of `tag` that the backends run right now; None when they cannot count."""

    def front_counts(self, tag: str) -> FrontCounts | None:
        """What the front's log holds for `tag`; None without a front."""

    def watch(self) -> None:
        """Watch the memory and CPU of its processes, until `usage` is called."""

    def usage(self) -> SiteUsage | None:
        """What its processes used since `watch`; None when that is not known."""

    def pids(self) -> dict[str, int]:
        """The processes that serve, by name: the front's first."""

    def no_room(self) -> str | None:
        """Why its logs are cut: a disk without room. None when there is some, or nobody knows."""

    def own_states(self) -> list[OwnState]:
        """What each process of the app has for itself, of those that were asked by a request with
        `STATE_TAG`."""

    def log_positions(self) -> dict[str, int]:
        """Where each log ends now."""

    def complaints(self, since: dict[str, int]) -> tuple[Complaint, ...] | None:
        """What its programs complained of in their logs from these positions on; None when that is
        not known."""

    def logs(self, since: dict[str, int] | None = None, size: int = 4000) -> dict[str, str]:
        """The end of each log, from the positions `since` on."""


Tell = Callable[[Progress], None]


class Sender(Protocol):
    """Sends to one site. `tags` mark the requests, so that the site counts them apart."""

    def probe(
        self, slow: SlowRequest, fast: str, sleepers: int, backends: int, tags: tuple[str, str]
    ) -> Verdict:
        """See `pytest_winserve.probe.probe.probe`."""

    def capacity(
        self,
        slow: SlowRequest,
        limit: int,
        backends: int,
        declared: Concurrency,
        tags: tuple[str, ...],
    ) -> Capacity:
        """See `pytest_winserve.probe.probe.capacity`; each round of it takes one of the tags."""

    def singles(self, plan: Plan, tag: str) -> tuple[Reference, ...]:
        """What each GET of a plan gets when it is sent once; see
        `pytest_winserve.load.sending.singles`."""

    def load(self, engine: str, plan: Plan, tag: str, warmup_tag: str, tell: Tell) -> Result:
        """What came back of a plan. An error that `tell` raises ends the load, and passes."""
