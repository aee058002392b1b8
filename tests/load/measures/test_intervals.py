"""The statistics, against published tables and by simulation with fixed seeds."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.measures.intervals import (
    Interval,
    difference,
    paired_difference,
    runs_needed,
    share_difference,
    t_distribution,
    t_quantile,
    wilson,
)
from tests.kit.components import needs

pytestmark = needs("minutes")

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: critical values of Student's t.
TABLE = {
    0.90: {1: 3.078, 2: 1.886, 5: 1.476, 10: 1.372, 30: 1.310, 100: 1.290},
    0.95: {1: 6.314, 2: 2.920, 5: 2.015, 10: 1.812, 30: 1.697, 100: 1.660},
    0.975: {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 100: 1.984},
    0.99: {1: 31.821, 2: 6.965, 5: 3.365, 10: 2.764, 30: 2.457, 100: 2.364},
    0.995: {1: 63.657, 2: 9.925, 5: 4.032, 10: 3.169, 30: 2.750, 100: 2.626},
    0.999: {1: 318.309, 2: 22.327, 5: 5.893, 10: 4.144, 30: 3.385, 100: 3.174},
}
values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8)


@pytest.mark.parametrize(("p", "df"), [(p, df) for p, row in TABLE.items() for df in row])
def test_student_s_quantile_is_the_published_one(p: float, df: int) -> None:
    # The table has three decimals; its entry for 318 is rounded a little up.
    assert t_quantile(p, df) == pytest.approx(TABLE[p][df], abs=6e-4, rel=5e-6)
    assert t_quantile(1 - p, df) == pytest.approx(-TABLE[p][df], abs=6e-4, rel=5e-6)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.9995])
def test_student_s_quantile_where_there_is_a_closed_form(p: float) -> None:
    assert t_quantile(p, 1) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-10)
    two = (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    assert t_quantile(p, 2) == pytest.approx(two, rel=1e-10)
    assert t_quantile(p, 1e7) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-6)
    assert t_quantile(p, 9e5) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-5)


@given(st.floats(0.001, 0.999), st.floats(0.5, 5000))
def test_the_quantile_inverts_the_distribution(p: float, df: float) -> None:
    assert t_distribution(t_quantile(p, df), df) == pytest.approx(p, abs=1e-9)


def test_the_distribution_is_symmetric_and_rises() -> None:
    for df in (0.7, 1, 2.5, 9, 400):
        assert t_distribution(0, df) == pytest.approx(0.5)
        points = [t_distribution(t / 4, df) for t in range(-24, 25)]
        assert all(a < b for a, b in pairwise(points))
        for low, high in zip(points, reversed(points), strict=True):
            assert low + high == pytest.approx(1)


@pytest.mark.parametrize(("p", "df"), [(0, 1), (1, 1), (0.5, 0), (0.9, math.nan), (-1, 2)])
def test_what_has_no_quantile_is_refused(p: float, df: float) -> None:
    with pytest.raises(ValueError):
        t_quantile(p, df)


def test_student_on_his_own_data() -> None:
    # Student 1908, additional hours of sleep by two drugs: mean 1.58, t(9) = 4.0621.
    a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    paired = paired_difference(a, b)
    assert paired is not None
    assert (paired.low, paired.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    # The same by Welch, as R's t.test(extra ~ group) prints it with the sides exchanged.
    welch = difference(a, b)
    assert welch is not None
    assert (welch.low, welch.high) == pytest.approx((-0.2054832, 3.3654832), abs=1e-6)


def test_one_run_has_no_interval_and_equal_runs_have_a_point() -> None:
    assert difference([1.0], [1.0, 2.0]) is None
    assert paired_difference([1.0], [2.0]) is None
    assert difference([1.0, 1.0], [3.0, 3.0]) == Interval(2.0, 2.0)
    assert paired_difference([1.0, 2.0], [2.0, 3.0]) == Interval(1.0, 1.0)
    with pytest.raises(ValueError):
        paired_difference([1.0, 2.0], [1.0])


@given(values, values)
def test_exchanging_the_sides_turns_the_interval_round(a: list[float], b: list[float]) -> None:
    there, back = difference(a, b), difference(b, a)
    assert there is not None
    assert back is not None
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


@given(values)
def test_nothing_differs_from_itself(a: list[float]) -> None:
    for found in (difference(a, a), paired_difference(a, a)):
        assert found is not None
        assert 0 in found


@pytest.mark.parametrize(
    ("n_a", "n_b", "spread_b"), [(2, 2, 1), (3, 3, 1), (6, 6, 1), (6, 6, 4), (3, 10, 2)]
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    n_a: int, n_b: int, spread_b: float
) -> None:
    """2000 simulated comparisons of normal runs whose true difference is 0.3.

    The share that covers it scatters by sqrt(0.95 * 0.05 / 2000) = 0.49 points, four times which is
    2. Welch's interval is an approximation: off by up to 1 point on the unsafe side, and by more on
    the safe side for very few runs. So at least 92 %, and for six runs a side at most 98 %.
    """
    chance = random.Random(20_260_101)
    trials, covered = 2000, 0
    for _ in range(trials):
        a = [chance.gauss(0, 0.05) for _ in range(n_a)]
        b = [chance.gauss(0.3, 0.05 * spread_b) for _ in range(n_b)]
        found = difference(a, b)
        assert found is not None
        covered += 0.3 in found
    assert 0.92 <= covered / trials <= (1 if min(n_a, n_b) < 6 else 0.98)


def test_pairs_cover_the_truth_although_the_machine_drifts() -> None:
    """The exact interval: within 2 points of 95 % over 2000 times, four standard errors. Runs drift
    by ten times their scatter, which pairs do not see."""
    chance = random.Random(7)
    trials, covered, narrower = 2000, 0, 0
    for _ in range(trials):
        drift = [chance.gauss(0, 0.5) for _ in range(6)]
        a = [each + chance.gauss(0, 0.05) for each in drift]
        b = [each + chance.gauss(0.3, 0.05) for each in drift]
        paired, welch = paired_difference(a, b), difference(a, b)
        assert paired is not None
        assert welch is not None
        covered += 0.3 in paired
        narrower += paired.high - paired.low < welch.high - welch.low
    assert abs(covered / trials - 0.95) <= 0.02
    assert narrower > 0.99 * trials


@pytest.mark.parametrize("n", [2, 3, 6])
def test_pairs_cover_the_truth_where_a_run_is_slow_now_and_then(n: int) -> None:
    chance = random.Random(5)

    def run() -> float:
        return chance.gauss(0, 0.02) + (0.3 if chance.random() < 0.2 else 0.0)

    held = 0
    for _ in range(500):
        found = paired_difference([run() for _ in range(n)], [run() for _ in range(n)])
        assert found is not None
        held += 0 in found
    # 95 % of 500 is 475, with a standard deviation of 4.9.
    assert held >= 460


def test_how_many_runs_would_do() -> None:
    # By hand: t(4) * 0.02 * sqrt(2/3) = 2.776 * 0.01633 = 0.0453; with 2 runs 4.303 * 0.02 = 0.086.
    assert runs_needed(0.02, 0.0488, paired=False) == 3
    assert runs_needed(0.0, 0.01, paired=True) == 2
    assert runs_needed(1.0, 0.001, paired=True) is None
    for paired in (True, False):
        found = [runs_needed(s / 100, 0.05, paired=paired) or 0 for s in range(1, 15)]
        assert found == sorted(found)


def test_wilson_on_published_and_extreme_counts() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(hits, n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 1000).high == pytest.approx(0.00383, abs=1e-5)
    assert wilson(7, 7).high == 1
    assert wilson(0, 7).low == 0
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError):
            wilson(hits, n)


def test_difference_of_shares_on_published_counts() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:873), table II, method 10: 56/70 - 48/80, 9/10 - 3/10
    # and 10/10 - 0/20.
    for b, a, low, high in (
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ):
        found = share_difference(a, b)
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 5000), st.data())
def test_a_share_lies_in_its_interval(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    found = wilson(hits, n)
    assert 0 <= found.low <= hits / n <= found.high <= 1
    mirrored = wilson(n - hits, n)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))
