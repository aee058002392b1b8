"""The trials of `winserve recommend`, kept in a file after each one, so that a run that was
interrupted or killed goes on where it was.

The file is of one app on one host. What the trials depend on is its key; a run with another key
does not take them over, and says what is different.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_winserve.errors import UsageError
from pytest_winserve.report.numbers import plural
from pytest_winserve.report.record import Record
from pytest_winserve.report.store import write_json
from pytest_winserve.system.cache import cache_folder

SCHEMA = "winserve.trials/1"


def app_fingerprint(app: str) -> str:
    """Twelve digits for the code of an app: its module, or all modules of its package.

    "unknown" when it is not found here, as when only another host has it. A template or another
    package that it uses does not count.
    """
    import hashlib

    name = app.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "unknown"
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    files = sorted(path for place in places for path in place.rglob("*.py"))
    if not places and spec.origin is not None:
        files = [Path(spec.origin)]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def place_of(app: str, host: str) -> Path:
    """The file for the trials of an app on a host, in the user's cache folder."""
    import hashlib

    digest = hashlib.sha256(f"{app}\0{host}".encode()).hexdigest()[:16]
    return cache_folder() / "recommend" / f"{digest}.json"


@dataclass(slots=True)
class Trials:
    """The records of the tests made so far, each with its `round`.

    `told` says what became of an earlier run's.
    """

    place: Path
    key: Mapping[str, Any]
    records: list[Record] = field(default_factory=list)
    told: str = ""

    def made(self, topology: str, number: int) -> bool:
        """Whether a round of a topology is there already."""
        return any(r.topology == topology and r.round == number for r in self.records)

    def add(self, record: Record) -> None:
        """Keep one more. Raises OSError when it cannot be written."""
        self.records.append(record)
        self._write(finished=False)

    def finish(self) -> None:
        """The run came to its end: the next one begins anew."""
        self._write(finished=True)

    def _write(self, *, finished: bool) -> None:
        tests = [record.to_dict() for record in self.records]
        data = {"schema": SCHEMA, "key": self.key, "finished": finished, "tests": tests}
        write_json(self.place, data)


@contextmanager
def open_trials(place: Path, key: Mapping[str, Any], *, fresh: bool) -> Iterator[Trials]:
    """The trials of an earlier run with this key that did not end, or none.

    UsageError when another run is at work on them.
    """
    from filelock import FileLock, Timeout

    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{place}.lock", timeout=0):
            trials = Trials(place, key)
            if place.exists() and not fresh:
                _continue(trials)
            yield trials
    except Timeout:
        raise UsageError(
            f"another `winserve recommend` is at work for this app and host; it keeps its trials "
            f"in {place}"
        ) from None


def _continue(trials: Trials) -> None:
    """Take over what an earlier run has left, if it is of the same key and did not end."""
    try:
        data = json.loads(trials.place.read_text("utf-8"))
        known, finished = data["key"], data["finished"]
        records = [Record.from_dict(test) for test in data["tests"]]
        readable = data["schema"] == SCHEMA
    except (ValueError, KeyError, TypeError, UsageError):
        readable, known, finished, records = False, {}, False, []
    if not readable:
        trials.told = f"{trials.place} cannot be read: its trials are made anew"
        return
    # As it comes back from a file.
    key = json.loads(json.dumps(trials.key))
    if finished or not records:
        return
    if known == key:
        trials.records = records
        trials.told = (
            f"goes on with {plural(len(records), 'trial')} of an earlier run (--fresh begins anew)"
        )
        return
    names = [name for name in dict.fromkeys([*known, *key]) if known.get(name) != key.get(name)]
    differences = "; ".join(f"{n} was {known.get(n)}, is {key.get(n)}" for n in names)
    trials.told = (
        f"the trials of an earlier run ({len(records)}) are not used, they are of something else: "
        f"{differences}"
    )
