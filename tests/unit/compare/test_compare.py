"""Comparing: what is held against what, the verdicts, and what is refused or told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_winserve.compare import sides
from pytest_winserve.compare.comparison import (
    Comparison,
    ComparisonRules,
    MeasureRow,
    MeasureVerdict,
)
from pytest_winserve.compare.text import render
from pytest_winserve.errors import UsageError
from pytest_winserve.load.measures.histogram import Histogram
from pytest_winserve.load.plan import Plan
from tests.kit.results import Make, load, run_of

RULES = ComparisonRules()
OPPOSITE: dict[MeasureVerdict, MeasureVerdict] = {"better": "worse", "worse": "better"}
EXACT = {"unaccounted", "capacity", "blocked"}


def compare(
    a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]], rules: ComparisonRules
) -> Comparison:
    """Compare sides of files with this content."""
    return sides.compare([run_of(data) for data in a], [run_of(data) for data in b], rules)


def compare_sides(data: Mapping[str, Any], rules: ComparisonRules) -> Comparison:
    """Compare the sides in a file with this content."""
    return sides.compare_sides(run_of(data), rules)


def results(make: Make, *runs: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A results file of one test with these runs."""
    return make.data(make.test(results=list(runs), **keys))


def of(make: Make, a: Sequence[float], b: Sequence[float]) -> tuple[dict[str, Any], ...]:
    """Two files whose runs have these rates, and times to match."""
    made = [results(make, *(load(rate, 10_000 / rate) for rate in side)) for side in (a, b)]
    return tuple(made)


def row(comparison: Comparison, measure: str) -> MeasureRow:
    (found,) = [
        each for group in comparison.groups for each in group.rows if each.measure == measure
    ]
    return found


def verdicts(comparison: Comparison) -> dict[str, MeasureVerdict]:
    return {each.measure: each.verdict for group in comparison.groups for each in group.rows}


def test_better_worse_same_and_undecided(make: Make) -> None:
    steady = [1000.0, 1010, 990, 1005]
    for b, rate, time in (
        ([1300.0, 1310, 1290, 1305], "better", "better"),
        ([700.0, 710, 690, 705], "worse", "worse"),
        ([1002.0, 1008, 993, 1001], "same", "same"),
        ([1000.0, 1500, 700, 1200], "inconclusive", "inconclusive"),
    ):
        one, other = of(make, steady, b)
        found = compare([one], [other], RULES)
        assert row(found, "rate").verdict == rate
        assert row(found, "mean").verdict == row(found, "p95").verdict == time
        assert row(found, "error rate").verdict == row(found, "unaccounted").verdict == "same"
        assert found.failed(strict=False) == (rate == "worse")
        assert found.failed(strict=True) == (rate in {"worse", "inconclusive"})


def test_the_interval_of_the_ratio_by_hand(make: Make) -> None:
    """Rates 100, 110 and 120, 140: the logarithms' means differ by 0.2118; u = 0.004542 / 2,
    v = 0.011881 / 2, so df = 1.667, t = 5.24, and half the interval is 5.24 * 0.09062 = 0.4749."""
    a, b = of(make, [100, 110], [120, 140])
    found = row(compare([a], [b], RULES), "rate")
    assert found.a == pytest.approx((100 * 110) ** 0.5)
    assert found.b == pytest.approx((120 * 140) ** 0.5)
    assert found.change is not None
    assert found.change.low * found.change.high == pytest.approx((120 * 140) / (100 * 110))
    assert (found.change.low, found.change.high) == pytest.approx((0.7686, 1.987), rel=2e-3)


def test_a_difference_within_the_margin_is_the_same_however_sure(make: Make) -> None:
    # 3 % with hardly any scatter: significant, and of no interest; with a margin of 2 % it is.
    a, b = of(make, [1000, 1001, 999, 1000], [970, 971, 969, 970])
    assert row(compare([a], [b], RULES), "rate").verdict == "same"
    assert row(compare([a], [b], ComparisonRules(margin=0.02)), "rate").verdict == "worse"


def test_sure_of_the_direction_but_not_of_the_margin(make: Make) -> None:
    a, b = of(make, [1000, 1005, 995, 1000], [1080, 1000, 1110, 1050])
    found = row(compare([a], [b], ComparisonRules(margin=0.08)), "rate")
    assert found.verdict == "inconclusive"
    a, b = of(make, [1000, 1001, 999, 1000], [1060, 1040, 1055, 1045])
    found = row(compare([a], [b], RULES), "rate")
    assert found.verdict == "inconclusive"
    assert "surely higher, but not surely by more than the margin" in found.note
    assert "runs per side would be needed" in found.note


def test_percentiles_are_never_surer_than_the_histogram(make: Make) -> None:
    a, b = of(make, [1000, 1000], [1000, 1000])
    change = row(compare([a], [b], RULES), "p50").change
    assert change is not None
    assert (change.low, change.high) == pytest.approx((128 / 129, 129 / 128))
    assert row(compare([a], [b], ComparisonRules(margin=0.005)), "p50").verdict == "inconclusive"
    assert row(compare([a], [b], ComparisonRules(margin=0.005)), "mean").verdict == "same"


def test_one_run_tells_exact_counts_only_and_how_many_would_do(make: Make) -> None:
    a = results(make, load(1000), capacities=[make.capacity(4)], verdicts=[make.verdict()])
    b = results(make, load(10, errors=4000), capacities=[make.capacity(3)],
                verdicts=[make.verdict(blocked=2)])  # fmt: skip
    found = compare([a], [b], RULES)
    assert {name for name, each in verdicts(found).items() if each == "inconclusive"} == {
        "rate", "mean", "p50", "p95", "p99", "error rate",
    }  # fmt: skip
    assert row(found, "capacity").verdict == row(found, "blocked").verdict == "worse"
    text = render(found, RULES)
    assert "1 run on a side cannot tell how runs differ" in text
    assert "about 10 per side decide" in text.replace("\n    ", " ")
    assert "WORSE: capacity of" in text


def test_several_files_of_a_side_are_its_runs(make: Make) -> None:
    side_a = [results(make, load(rate)) for rate in (1000, 1010, 990)]
    side_b = [results(make, load(rate)) for rate in (500, 510, 490)]
    found = compare(side_a, side_b, RULES)
    assert (found.groups[0].runs_a, found.groups[0].runs_b) == (3, 3)
    assert row(found, "rate").verdict == "worse"


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([0, 0], [0, 0], "same"),
        ([0, 0, 0], [800, 790, 810], "worse"),
        ([800, 790, 810], [0, 0, 0], "better"),
        ([0, 0, 0], [0, 900, 0], "inconclusive"),
    ],
)
def test_error_rates_are_compared_by_their_difference(
    make: Make, a: list[int], b: list[int], verdict: MeasureVerdict
) -> None:
    sides = [results(make, *(load(errors=errors) for errors in side)) for side in (a, b)]
    found = row(compare([sides[0]], [sides[1]], RULES), "error rate")
    assert found.verdict == verdict
    assert found.change is not None
    assert (found.b or 0) - (found.a or 0) in found.change


def test_no_error_in_few_requests_is_no_proof(make: Make) -> None:
    a = results(make, load(answers=200), load(answers=200))
    found = row(compare([a], [a], RULES), "error rate")
    assert found.verdict == "inconclusive"
    assert "800 requests are too few to tell" in found.note


def test_failing_fast_is_not_better(make: Make) -> None:
    a = results(make, *(load(1000, 10) for _ in range(3)))
    b = results(make, *(load(3000, 2, errors=3900 + n) for n in range(3)))
    found = compare([a], [b], RULES)
    assert row(found, "error rate").verdict == "worse"
    for measure in ("rate", "mean", "p50"):
        assert row(found, measure).verdict == "inconclusive"
        assert "answers are better, but the error rate is worse" in row(found, measure).note
    # And the other way round: fewer errors may cost time.
    assert row(compare([b], [a], RULES), "rate").verdict == "inconclusive"


def test_percentiles_of_few_answers_are_not_shown(make: Make) -> None:
    a = results(make, load(answers=900), load(answers=900))
    found = compare([a], [a], RULES)
    assert "p99" not in verdicts(found)
    assert "p95" in verdicts(found)
    assert "p99 is not shown: n small, a run has 900 answers and 1000 are needed" in str(found)


def test_a_run_that_is_not_the_server_s_is_left_out(make: Make) -> None:
    good = [load(1000), load(1010)]
    bad = [load(10, limited_by="generator-cpu"), load(10, lost=1)]
    a, b = results(make, *good), results(make, *good, *bad)
    found = compare([a], [b], RULES)
    assert row(found, "rate").verdict == "same"
    text = render(found, RULES)
    assert "1 of 4 runs of B left out: the load generator was the limit (generator-cpu)" in text
    assert "1 of 4 runs of B left out: 1 of 1 load workers were lost" in text
    allowed = compare([a], [b], ComparisonRules(allow_limited=True))
    assert row(allowed, "rate").verdict == "inconclusive"
    alone = compare([a], [results(make, *bad)], RULES)
    assert row(alone, "rate").note == "no usable run on B"
    assert not alone.failed(strict=False)


def test_a_run_without_answers_has_no_times(make: Make) -> None:
    nothing = load(answers=4000, outcomes={"refused": 4000}, total=Histogram())
    a, b = results(make, load(), load()), results(make, load(), nothing)
    found = compare([a], [b], RULES)
    assert row(found, "rate").verdict == row(found, "mean").verdict == "inconclusive"
    assert row(found, "mean").note == "not measured in 1 of 4 runs"
    assert "has no ratio" in row(found, "rate").note
    assert "total" in load(unmeasured=frozenset({"total"}))["unmeasured"]
    without = results(make, *(load(unmeasured=frozenset({"total"})) for _ in range(2)))
    assert "mean" not in verdicts(compare([without], [without], RULES))


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([4], [4], "same"),
        ([4], [5], "better"),
        ([4, 4], [3, 4], "inconclusive"),
        ([64.5], [64.5], "same"),
        ([4], [64.5], "better"),
        ([64.5], [4, 5], "worse"),
        ([64.5], [64], "inconclusive"),
        ([64.5], [70], "inconclusive"),
    ],
)
def test_capacities(make: Make, a: list[float], b: list[float], verdict: MeasureVerdict) -> None:
    """A half stands for "at least"."""
    sides = [
        make.data(make.test(capacities=[make.capacity(int(v), at_least=v > int(v)) for v in side]))
        for side in (a, b)
    ]
    assert row(compare([sides[0]], [sides[1]], RULES), "capacity").verdict == verdict
    assert (">= 64" in render(compare([sides[0]], [sides[1]], RULES), RULES)) == (64.5 in a + b)


def test_unaccounted_requests_count_in_every_run(make: Make) -> None:
    a, b = results(make, load()), results(make, load(), load(unaccounted=1))
    assert row(compare([a], [b], RULES), "unaccounted").verdict == "worse"
    assert row(compare([b], [a], RULES), "unaccounted").verdict == "better"
    unknown = results(make, load(ledger=None))
    assert row(compare([a], [unknown], RULES), "unaccounted").note == "not measured in B"
    assert "unaccounted" not in verdicts(compare([unknown], [unknown], RULES))


def test_probes_are_compared_when_they_asked_the_same(make: Make) -> None:
    a = make.data(make.test(verdicts=[make.verdict()]))
    b = make.data(make.test(verdicts=[make.verdict(blocked=8), make.verdict(blocked=8, fast=8)]))
    assert row(compare([a], [b], RULES), "blocked").verdict == "worse"
    other = make.data(make.test(verdicts=[make.verdict(slow="/other")]))
    with pytest.raises(UsageError, match="no measurement of one kind on both: only in A"):
        compare([a], [other], RULES)


def test_different_plans_are_refused(make: Make) -> None:
    a = results(make, load(plan=Plan.make(users=5, duration=4)))
    b = results(make, load(plan=Plan.make(users=50, duration=4)))
    with pytest.raises(UsageError) as caught:
        compare([a], [b], RULES)
    assert "the plans differ, users: 5 in A, 50 in B" in str(caught.value)
    with pytest.raises(UsageError, match='engine: "builtin" in A, "tsung" in B'):
        compare([results(make, load())], [results(make, load(engine="tsung"))], RULES)
    # One plan in common is compared, and what is on one side only is told.
    both = results(make, load(plan=Plan.make(users=5, duration=4)), load())
    found = compare([a], [both], RULES)
    assert len(found.groups) == 1
    assert any(note.startswith("only in B: ") and "10 users" in note for note in found.notes)
    assert found.failed(strict=True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"topology": "flask"}, "the topology is nginx4 in A and flask in B"),
        ({"host": "wine"}, "the host is local in A and wine in B"),
        ({"app": "shop:app"}, "the app is pytest_winserve.sample_app:app in A and shop:app in B"),
        ({"nodeid": "other"}, "and other in B"),
        ({"results": []}, "there is no measurement in B"),
    ],
)
def test_what_has_nothing_in_common_is_refused(make: Make, keys: dict[str, Any], said: str) -> None:
    a = results(make, load())
    b = make.data(make.test(**{"results": [load()], **keys}))
    with pytest.raises(UsageError, match="nothing to compare") as caught:
        compare([a], [b], RULES)
    assert said in str(caught.value)


def test_tests_of_one_side_only_are_told(make: Make) -> None:
    one = make.test(results=[load()])
    two = make.test(results=[load()], nodeid="tests/test_other.py::test_x")
    found = compare([make.data(one, two)], [make.data(one)], RULES)
    assert any("only in A: tests/test_other.py::test_x" in note for note in found.notes)
    assert not found.failed(strict=False)


def test_other_machines_and_versions_are_told(make: Make) -> None:
    a, b = results(make, load()), results(make, load())
    assert compare([a], [b], RULES).notes == ()
    b["environment"] |= {"cpu": "Other CPU", "versions": {"flask": "3.2.0"}}
    b["environment"]["machines"] = {"wine": {"os": "Windows", "versions": {}}}
    notes = compare([a], [b], RULES).notes
    assert "cpu differs: Some CPU in A, Other CPU in B" in notes
    assert "version of flask differs: 3.1.3 in A, 3.2.0 in B" in notes
    assert any(n.startswith("version of nginx differs: ") and "none in B" in n for n in notes)
    assert "wine: os differs: none in A, Windows in B" in notes
    mixed = compare([a, b], [a, b], RULES).notes
    assert "cpu differs within A: Other CPU or Some CPU" in mixed


@pytest.mark.parametrize(
    "damage",
    [
        {"results": [{"checks": []}]},
        {"verdicts": [{"slow": "/"}]},
        {"capacities": [{"value": None, "at_least": False}]},
        {"capacities": [3]},
        {"capacities": [{"value": "many", "at_least": False}]},
    ],
)
def test_a_damaged_measurement_is_named(make: Make, damage: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        compare([results(make, load())], [make.data(make.test(**damage))], RULES)


def run_sides(make: Make, a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """A file as `winserve compare TOPOLOGY TOPOLOGY` writes it, the runs in turns."""
    tests = [
        make.test(topology, nodeid="winserve compare", side=side, pair=pair, results=[load(rate)])
        for side, topology, rates in (("B", "flask", b), ("A", "nginx4", a))
        for pair, rate in enumerate(rates, 1)
    ]
    return make.data(*tests)


def test_pairs_see_through_a_drift(make: Make) -> None:
    a = [1000.0, 800, 600, 500]
    data = run_sides(make, a, [rate * factor for rate, factor in zip(a, (1.2, 1.21, 1.19, 1.2),
                                                                     strict=True)])  # fmt: skip
    found = compare_sides(data, RULES)
    assert row(found, "rate").verdict == "better"
    assert found.groups[0].name == "winserve compare: A nginx4, B flask on local"
    assert "compared in 4 pairs, as they were run" in found.groups[0].notes
    for test in data["tests"]:
        del test["pair"]
    assert row(compare_sides(data, RULES), "rate").verdict == "inconclusive"


def test_a_pair_is_whole_or_left_out(make: Make) -> None:
    data = run_sides(make, [1000, 1001, 1000], [1200, 1201, 1200])
    data["tests"][0]["results"] = [load(1200, lost=1)]
    found = compare_sides(data, RULES)
    assert "compared in 2 pairs, as they were run" in found.groups[0].notes
    assert row(found, "rate").verdict == "better"


def test_a_topology_can_be_compared_with_itself(make: Make) -> None:
    data = run_sides(make, [1000, 1001], [1000, 1001])
    for test in data["tests"]:
        test["topology"] = "flask"
    assert row(compare_sides(data, RULES), "rate").verdict == "same"


def test_a_file_without_sides_needs_a_second_one(make: Make) -> None:
    with pytest.raises(UsageError, match="no sides A and B"):
        compare_sides(results(make, load()), RULES)


@pytest.mark.parametrize("keys", [{"margin": 0}, {"margin": 1.1}, {"error_margin": 0.0},
                                  {"error_margin": 1.0}])  # fmt: skip
def test_margins_that_cannot_be(keys: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="margin"):
        ComparisonRules(**keys)


rates = st.floats(50, 5000)
runs = st.lists(st.tuples(rates, st.integers(0, 400)), min_size=1, max_size=4)


def file_of(side: list[tuple[float, int]]) -> dict[str, Any]:
    make = Make()
    return results(
        make, *(load(rate, 5000 / rate, errors=errors, answers=400) for rate, errors in side)
    )


@settings(max_examples=25, deadline=None)
@given(runs, runs)
def test_exchanging_the_sides_exchanges_the_verdicts(
    a: list[tuple[float, int]], b: list[tuple[float, int]]
) -> None:
    one, other = file_of(a), file_of(b)
    there, back = compare([one], [other], RULES), compare([other], [one], RULES)
    for forth, turned in zip(there.groups[0].rows, back.groups[0].rows, strict=True):
        assert turned.verdict == OPPOSITE.get(forth.verdict, forth.verdict)
        assert (turned.a, turned.b) == (forth.b, forth.a)
        if forth.change is not None and forth.kind != "share":
            assert turned.change is not None
            assert turned.change.low * forth.change.high == pytest.approx(1)
            assert turned.change.high * forth.change.low == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(runs)
def test_nothing_is_better_or_worse_than_itself(side: list[tuple[float, int]]) -> None:
    data = file_of(side)
    found = compare([data], [data], RULES)
    assert set(verdicts(found).values()) <= {"same", "inconclusive"}
    assert not found.failed(strict=False)
    if len(side) == 1:
        assert row(found, "rate").verdict == "inconclusive"


def test_the_text_fits_a_terminal_and_is_ascii(make: Make) -> None:
    data = results(make, load(123456.7, 0.01), load(99999.9, 100_000),
                   nodeid="tests/t\u00e4st.py::test_" + "x" * 90)  # fmt: skip
    text = render(compare([data], [data], RULES), RULES, width=80)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert "B against A: " in text
