"""The app `tests/kit/apps/accounts.py` and the journey through it, for whoever serves it."""

from __future__ import annotations

from pathlib import Path

from pytest_winserve import Journey
from pytest_winserve.load.journeys.journey_file import read_journeys

APP = "tests.kit.apps.accounts:create_app()"
JOURNEY = Path(__file__).parent / "journeys/accounts.toml"
STEPS = (
    "GET /login",
    "POST /login",
    "read",
    "write",
    "write (followed)",
    "GET /logout",
    "POST /logout",
)


def journey() -> Journey:
    """Sign in, read, write a note, leave."""
    return read_journeys(JOURNEY)[0]


def environment(folder: Path, *, key: bool = True) -> dict[str, str]:
    """What the app needs, with its database in the folder; without `key` each of its processes
    makes one of its own."""
    shared = {"SECRET_KEY": "the same for all"} if key else {}
    return {"ACCOUNTS_DB": str(folder / "accounts.db"), **shared}
