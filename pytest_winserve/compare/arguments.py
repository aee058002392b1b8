"""What the arguments of `winserve compare` name: the files of earlier runs, or two topologies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pytest_winserve.compare.comparison import Comparison, ComparisonRules, Side
from pytest_winserve.compare.sides import compare, compare_sides
from pytest_winserve.errors import UsageError
from pytest_winserve.report.record import RunRecord
from pytest_winserve.report.store import read_run
from pytest_winserve.topology import Topology

RESULTS = "results.json"

_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)")


def share(option: str, text: str) -> float:
    """The share that `5%` or `0.05` stands for. UsageError names the option."""
    found = _SHARE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{option}={text}: a share such as 5% is needed")
    return float(found[1]) / (100 if found[2] else 1)


def are_files(sides: Sequence[str]) -> bool:
    """Whether files (or folders) are to be compared, and not topologies.

    UsageError when neither can be: a mixture, or the wrong number.
    """
    files = [_is_file(each) for each in sides]
    if all(files) and len(sides) <= 2:
        return True
    if not any(files) and len(sides) == 2:
        return False
    given = " ".join(sides)
    raise UsageError(
        f"compare {given}: two results files, one file that `winserve compare --report` has "
        "written, or two topologies are needed"
    )


def _is_file(text: str) -> bool:
    # No topology has a slash. A folder may be named like one: then `./nginx4` says it is meant.
    if text.endswith(".json") or "/" in text or "\\" in text:
        return True
    try:
        Topology.parse(text)
    except UsageError:
        return Path(text).exists()
    return False


def compare_files(sides: Sequence[str], rules: ComparisonRules) -> Comparison:
    """Compare two files (or folders of them), or the two sides of one. Raises UsageError."""
    runs = [read_runs(side) for side in sides]
    if len(runs) == 2:
        return compare(runs[0], runs[1], rules)
    if len(runs[0]) > 1:
        raise UsageError(f"{sides[0]}: has {len(runs[0])} results files; name one of them")
    return compare_sides(runs[0][0], rules)


def read_runs(place: str) -> list[RunRecord]:
    """The run in a results file, or those in all results.json of a folder and below it."""
    path = Path(place)
    if not path.is_dir():
        return [read_run(path)]
    files = sorted(path.rglob(RESULTS))
    if not files:
        raise UsageError(f"{place}: there is no {RESULTS} in this folder or below it")
    return [read_run(file) for file in files]


def topologies(sides: Sequence[str]) -> dict[Side, Topology]:
    """The topologies of both sides. UsageError when one cannot be."""
    return {"A": Topology.parse(sides[0]), "B": Topology.parse(sides[1])}
