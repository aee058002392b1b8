"""Loads in tests: sent, interrupted, and what each side of the ledger saw."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.load.results.result import Result
from tests.kit.raw_server import Connection
from tests.kit.waiting import eventually

USERS, SECONDS, BEFORE = 20, 1.5, 100


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def seen(result: Result) -> dict[str, int]:
    """What each side of the ledger saw."""
    assert result.ledger is not None
    return {side.name: side.seen for side in result.ledger.sides}


def answers(result: Result) -> dict[str, int]:
    return {key: share.answers for key, share in result.by_backend.items()}


def adds_up(result: Result) -> None:
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0, result.ledger.lines()
    assert sum(result.outcomes.values()) == result.sent
    assert result.ledger.sent == result.sent


def load_on_four(lab: Lab, engine: str, keepalive: bool) -> Result:
    """A load by another engine on four backends behind nginx, which adds up on every side."""
    with lab.serve("nginx4-waitress") as site:
        # With pauses: on a fast machine nginx would be sent more than the 1000 requests that it
        # takes on a connection.
        result = site.load(users=5, duration=2, think_time=0.01, keepalive=keepalive, engine=engine)
    adds_up(result)
    assert result.sent > 0
    assert result.outcomes == {"200": result.sent}
    sides = seen(result)
    assert sides.pop("front's log") == result.sent
    assert len(sides) == 4
    assert sum(sides.values()) == result.sent == sum(answers(result).values())
    assert set(result.by_backend) == {"0", "1", "2", "3"}
    assert result.connect.count == (5 if keepalive else result.sent)
    row = result.tsung_tables()["rows"]["request"]
    assert row["count"] == result.sent
    assert row["mean"] == pytest.approx(result.total.mean)
    return result


def served(site: Site) -> int:
    return sum(count.started for count in site.deployment.backend_counts())


def strike_in_load(
    site: Site, strike: Callable[[], object], after: int = BEFORE
) -> threading.Thread:
    """Strike once the site has served so many requests of the load that follows."""
    begun = served(site)

    def wait_and_strike() -> None:
        # The load may wait for those of other tests first.
        eventually(lambda: served(site) >= begun + after, seconds=600)
        strike()

    striker = threading.Thread(target=wait_and_strike)
    striker.start()
    return striker


def load_and(site: Site, strike: Callable[[], None], **plan: object) -> Result:
    """Load the site, and strike once it has served a hundred requests of the load."""
    striker = strike_in_load(site, strike)
    try:
        result = site.load(**{"users": USERS, "duration": SECONDS} | plan)  # type: ignore[arg-type]
    finally:
        striker.join()
    assert result.sent == sum(result.outcomes.values())
    assert result.outcomes["200"] >= BEFORE - USERS
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0, result.ledger.lines()
    return result


def notes(result: Result) -> list[str]:
    assert result.ledger is not None
    return [note for note in result.ledger.notes if note.startswith("died during the load: ")]


def killed(name: str, pid: int) -> list[str]:
    return [f"died during the load: {name} (pid {pid}) was killed by signal 9 (SIGKILL)"]


def ok(connection: Connection) -> bool:
    keep = b"\r\nConnection: close\r\n" not in connection.request
    connection.send(OK if keep else CLOSING)
    return keep


def started(result: Result) -> int:
    return sum(second.started for second in result.timeline)
