"""`winserve compare`, in processes of its own, with its exit statuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_winserve.compare.arguments import are_files, share
from pytest_winserve.compare.turns import Turn, turns
from pytest_winserve.errors import UsageError
from pytest_winserve.report.store import read_json, write_json
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.results import Make, load

pytestmark = needs("minutes")


def write(path: Path, *rates: float, **keys: Any) -> Path:
    """A results file with runs of these rates."""
    make = Make()
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = [load(rate, 10_000 / rate) for rate in rates]
    write_json(path, make.data(make.test(results=runs, **keys)))
    return path


def test_two_files_and_their_statuses(tmp_path: Path) -> None:
    write(tmp_path / "old.json", 1000, 1010, 990)
    write(tmp_path / "slow.json", 700, 710, 690)
    write(tmp_path / "wild.json", 700, 2000, 900)
    for sides, status, said in (
        (("old.json", "slow.json"), 1, "WORSE: rate of tests/test_shop.py"),
        (("slow.json", "old.json"), 0, "5 better, 2 same"),
        (("old.json", "old.json"), 0, "7 same"),
        (("old.json", "wild.json"), 0, "inconclusive"),
        (("old.json", "wild.json", "--strict"), 1, "inconclusive"),
        (("old.json", "slow.json", "--margin=60%"), 0, "same"),
    ):
        done = winserve("compare", *sides, cwd=tmp_path)
        assert done.status == status, (sides, done.out, done.err)
        assert said in done.out
        assert max(map(len, done.out.splitlines())) <= 80


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    for side, rates in (("old", (1000, 1010, 990)), ("new", (500, 510, 490))):
        for number, rate in enumerate(rates):
            write(tmp_path / side / str(number) / "results.json", rate)
    done = winserve("compare", "old", "new", cwd=tmp_path)
    assert done.status == 1, done.err
    assert "3 runs of A, 3 of B" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "A.json B.json"),
        (("old.json", "no.json"), "no.json: cannot be read"),
        (("old.json", "text.json"), "text.json: is not JSON"),
        (("old.json", "other.json"), "this version reads 'winserve.results/1'"),
        (("old.json", "flask.json"), "the topology is nginx4 in A and flask in B"),
        (("old.json", "empty"), "no results.json in this folder or below it"),
        (("old.json",), "no sides A and B"),
        (("old.json", "flask"), "or two topologies are needed"),
        (("old.json", "old.json", "old.json"), "or two topologies are needed"),
        (("flask", "flsk"), "nearest: flask"),
        (("flask",), "or two topologies are needed"),
        (("old.json", "old.json", "--users=5", "--no-keepalive"), "--no-keepalive, --users"),
        (("old.json", "old.json", "--margin=x"), "--margin=x: a share such as 5%"),
        (("old.json", "old.json", "--margin=0"), "margin=0: more than 0%"),
        (("flask", "waitress", "--runs=1"), "--runs"),
    ],
)
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    write(tmp_path / "old.json", 1000)
    write(tmp_path / "flask.json", 1000, topology="flask")
    (tmp_path / "text.json").write_text("no JSON", encoding="utf-8")
    (tmp_path / "other.json").write_text('{"schema": "other/1"}', encoding="utf-8")
    (tmp_path / "empty").mkdir()
    done = winserve("compare", *arguments, cwd=tmp_path)
    assert done.status == 2, done.out + done.err
    assert said in done.err


def test_two_topologies_in_turns_and_their_report_again(tmp_path: Path) -> None:
    done = winserve(
        "compare", "tornado", "tornado:threads=2", "--runs=3", "--users=2", "--count=300",
        "--path=/misbehave?size=9", "--warmup=0.1", "--margin=99%", "--report=out",
        "--require=status(200) == 100%", "--limited=allow", cwd=tmp_path,
    )  # fmt: skip
    # Which of them is faster is not asked here.
    assert done.status in {0, 1}, done.out + done.err
    told = [line for line in done.out.splitlines() if line.startswith("run ")]
    # Also of a run whose machine was busy, which is told below.
    assert all("sent 300, answered 300, errors 0 (0 %)" in line for line in told)
    began = [line.split(":")[0] for line in told]
    assert began == [f"run {n} of 6, {side} tornado" for n, side in enumerate("ABBAAB", 1)]
    assert "3 runs of A, 3 of B" in " ".join(done.out.split())
    assert "compared in 3 pairs, as they were run" in done.out
    assert "required status(200) == 100%: held in 6 measurements" in done.out
    tests = read_json(tmp_path / "out" / "results.json")["tests"]
    assert [(test["side"], test["pair"]) for test in tests] == [
        ("A", 1), ("B", 1), ("B", 2), ("A", 2), ("A", 3), ("B", 3),
    ]  # fmt: skip
    for test in tests:
        (result,) = test["results"]
        assert result["outcomes"] == {"200": 300}
        assert result["plan"]["warmup"] == 0.1
        assert result["plan"]["requests"][0]["path"] == "/misbehave?size=9"
        assert result["ledger"]["unaccounted"] == 0
    # The report says the same, word for word.
    for place in ("out", "out/results.json"):
        again = winserve("compare", place, "--margin=99%", "--limited=allow", cwd=tmp_path)
        assert again.status == done.status
        assert again.out in done.out


def test_a_criterion_that_fails_is_status_1_here_too(tmp_path: Path) -> None:
    done = winserve(
        "compare", "flask", "flask", "--runs=2", "--count=20", "--warmup=0",
        "--require=status(200) < 1%", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1, done.err
    assert "required status(200) < 1%: FAILED in 4 of 4 measurements" in done.out
    assert done.out.count("status(200) < 1%: measured 100%, n=20") == 4


def test_turns_cancel_a_drift() -> None:
    found = turns(4)
    assert "".join(turn.side for turn in found) == "ABBAABBA"
    assert found[2] == Turn(2, "B")
    places = {side: [n for n, turn in enumerate(found) if turn.side == side] for side in "AB"}
    assert sum(places["A"]) == sum(places["B"])


def test_what_is_a_file_and_what_a_topology(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("flask", "before"):
        (tmp_path / name).mkdir()
    assert are_files(["before", "before"])
    assert are_files(["./flask", "C:\\old.json"])
    assert not are_files(["flask", "nginx4-waitress:threads=8"])
    with pytest.raises(UsageError, match="are needed"):
        are_files(["before", "flask"])


def test_shares() -> None:
    assert share("--margin", "5%") == share("--margin", " 5 % ") == share("--margin", "0.05")
    for text in ("", "-5%", "5ms", "nan", "%"):
        with pytest.raises(UsageError, match="a share such as 5%"):
            share("--margin", text)
