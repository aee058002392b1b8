"""The lab's questions to a URL: does it answer, does a slow request block, how many run at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from pytest_winserve.errors import UsageError, WinserveError
from pytest_winserve.lab.client import Client
from pytest_winserve.load.engine import Target
from pytest_winserve.load.handshake import shake_hands
from pytest_winserve.probe.probe import ROUNDS, Counting, capacity, probe
from pytest_winserve.probe.verdicts import Capacity, SlowRequest, Verdict
from pytest_winserve.servers import Concurrency
from pytest_winserve.system.trust import Trust
from pytest_winserve.tags import BACKEND_HEADER, REQUEST_HEADER, lab_tag

UNKNOWN_BACKENDS = 4
"""How many are taken to be there when nobody says: a probe sends two fast requests for each."""
REACH_SECONDS = 30.0
NOTHING_COUNTED = Counting(lambda tag: None, lambda tag: None)


def base_of(url: str) -> str:
    """`http://HOST:PORT` of a URL. UsageError for what is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(
            f"{url}: the URL of a site that runs is needed, such as http://127.0.0.1:8080/"
        )
    base = f"{parts.scheme}://{parts.netloc}"
    Target(base)
    return base


@dataclass(slots=True)
class Outside:
    """A site of which only the URL is known. `headers` go with every request."""

    base: str
    headers: Mapping[str, str]
    trust: Trust
    backends: int = UNKNOWN_BACKENDS
    declared: Concurrency = "unknown"
    of_the_lab: bool = field(default=False, init=False)
    """Whether a backend of a lab answers there, which can hold a request."""
    _tags: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        # Where it is a lab that serves there, it does not count these as its traffic.
        self._tags = map(lab_tag, itertools.count(1))

    def reach(self, path: str) -> str:
        """Ask for a path once; the answer in words. WinserveError unless it is below 400."""
        shake_hands(Target(self.base, trust=self.trust))
        secure = self.base.startswith("https:")
        with Client(self.base, self.headers, self.trust if secure else None) as client:
            try:
                answer = client.get(
                    path, headers={REQUEST_HEADER: next(self._tags)}, timeout=REACH_SECONDS
                )
            except requests.RequestException as error:
                reason = getattr(error.args[0], "reason", error) if error.args else error
                raise WinserveError(
                    f"{self.base} does not answer: {reason}; is it started (status.cmd in its "
                    "folder tells), and may this machine reach it (firewall.cmd)?"
                ) from None
        if answer.status_code >= 400:
            raise WinserveError(
                f"GET {path} of {self.base} is answered {answer.status_code} {answer.reason}: name "
                "a path that works by --fast, or look into the site's logs"
            )
        self.of_the_lab = BACKEND_HEADER in answer.headers
        took = answer.elapsed.total_seconds() * 1000
        return f"GET {path} is answered {answer.status_code} in {took:.0f} ms"

    def slow_request(self, slow: str | None, fast: str, hold: float) -> SlowRequest | None:
        """What is slow there: a path of the app's own, or where a lab serves, the fast one, held.
        None when nothing is."""
        if slow is not None:
            return SlowRequest(slow)
        return SlowRequest(fast, hold) if self.of_the_lab else None

    def probe(self, slow: SlowRequest, fast: str) -> Verdict:
        """See `pytest_winserve.probe.probe.probe`."""
        return probe(
            self._address, slow, fast, 1, self.backends, (next(self._tags), next(self._tags)),
            NOTHING_COUNTED, lambda: None, self.headers, self._trust,
        )  # fmt: skip

    def capacity(self, slow: SlowRequest, limit: int) -> Capacity:
        """See `pytest_winserve.probe.probe.capacity`; by the times, since nobody counts there."""
        next_tag: Callable[[], str] = itertools.islice(self._tags, ROUNDS).__next__
        return capacity(
            self._address, slow, limit, self.backends, self.declared, next_tag, NOTHING_COUNTED,
            lambda: None, self.headers, self._trust,
        )  # fmt: skip

    @property
    def _address(self) -> tuple[str, int]:
        return Target(self.base).address()

    @property
    def _trust(self) -> Trust | None:
        return self.trust if self.base.startswith("https:") else None
