from __future__ import annotations

import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.load.measures.histogram import COUNTERS, Histogram, highest_of, index_of

microseconds = st.integers(min_value=0, max_value=2**32 - 1)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(values)
    return histogram


@given(microseconds)
def test_a_counter_holds_its_value_within_the_stated_error(us: int) -> None:
    high = highest_of(index_of(us))
    assert us <= high <= us * (1 + 1 / 128)


def test_counters_follow_each_other_without_gaps() -> None:
    for index in range(COUNTERS - 1):
        assert index_of(highest_of(index)) == index
        assert index_of(highest_of(index) + 1) == index + 1


@given(st.lists(microseconds), microseconds)
def test_above_leaves_out_at_most_what_is_within_the_stated_error(
    values: list[int], bound: int
) -> None:
    found = histogram_of(values).above(bound / 1e6)
    assert found <= sum(value > bound - 1 for value in values)
    assert found >= sum(value > (bound + 1) * (1 + 1 / 128) for value in values)


@given(st.lists(microseconds, min_size=1), st.floats(min_value=0.1, max_value=100))
def test_percentile_lies_within_the_bound_of_the_order_statistic(
    values: list[int], q: float
) -> None:
    rank = max(1, math.ceil(round(q * len(values) / 100, 6)))
    exact = sorted(values)[rank - 1] / 1e6
    measured = histogram_of(values).percentile(q)
    assert measured is not None
    assert exact <= measured <= max(values) / 1e6
    assert measured <= exact * (1 + 1 / 128) + 1e-12


@given(st.lists(st.lists(microseconds)))
def test_merge_equals_recording_everything_in_one(parts: list[list[int]]) -> None:
    everything = [us for part in parts for us in part]
    assert Histogram.merged(histogram_of(part) for part in parts) == histogram_of(everything)


@given(st.lists(st.integers(min_value=0, max_value=2**40)))
def test_dict_round_trip_through_json_is_exact(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert Histogram.from_dict(json.loads(json.dumps(histogram.to_dict()))) == histogram


@given(st.lists(microseconds))
def test_the_older_form_with_pairs_is_read(values: list[int]) -> None:
    histogram = histogram_of(values)
    older = {**histogram.to_dict(), "counters": [list(pair) for pair in histogram.counters]}
    assert Histogram.from_dict(older) == histogram


def test_merge_leaves_the_other_one_alone() -> None:
    a, b = histogram_of([1, 2]), histogram_of([3])
    a.merge(b)
    assert (a.count, b.count) == (3, 1)


def test_empty_has_no_numbers() -> None:
    empty = Histogram()
    assert (empty.count, empty.mean, empty.min, empty.max) == (0, None, None, None)
    assert empty.percentile(50) is None


def test_mean_min_and_max_are_exact() -> None:
    histogram = Histogram()
    for seconds in (0.000300, 0.000301, 1.000001):
        histogram.record(seconds)
    assert histogram.min == 0.0003
    assert histogram.max == 1.000001
    assert histogram.mean == pytest.approx((300 + 301 + 1_000_001) / 3 / 1e6, abs=1e-12)


def test_above_the_range_the_last_counter_takes_it_and_max_stays_exact() -> None:
    histogram = histogram_of([2**40, 5])
    assert histogram.max == 2**40 / 1e6
    assert histogram.percentile(100) == histogram.max
    assert histogram.percentile(50) == 5e-6


@pytest.mark.parametrize("q", [0, -1, 100.1, math.nan])
def test_percentile_out_of_range_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        histogram_of([1]).percentile(q)


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf])
def test_what_is_no_duration_is_refused(seconds: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="duration"):
        histogram.record(seconds)
    assert histogram.count == 0


@pytest.mark.parametrize(
    ("q", "n"), [(90, 100), (99, 1000), (99.9, 10_000), (99.99, 100_000), (50, 20)]
)
def test_enough_for_needs_ten_samples_above(q: float, n: int) -> None:
    assert histogram_of([1] * n).enough_for(q)
    assert not histogram_of([1] * (n - 1)).enough_for(q)


def test_the_interval_of_a_percentile_by_hand() -> None:
    # 100 values, p50: 50 -+ 1.96 * 5, so the 40th and the 60th.
    found = histogram_of(list(range(1, 101))).percentile_interval(50)
    assert found == pytest.approx((40e-6 / (1 + 1 / 128), 60e-6))
    assert histogram_of([1] * 10).percentile_interval(95) is None
    assert histogram_of([]).percentile_interval(50) is None


@pytest.mark.parametrize("q", [50, 90, 99])
def test_the_interval_of_a_percentile_has_its_confidence(q: float) -> None:
    chance = random.Random(3)
    truth = 0.01 * math.exp(statistics.NormalDist().inv_cdf(q / 100))
    held = 0
    for _ in range(200):
        found = histogram_of(
            [round(1e4 * chance.lognormvariate(0, 1)) for _ in range(1000)]
        ).percentile_interval(q)
        assert found is not None
        held += found[0] <= truth <= found[1]
    # 95 % of 200 is 190, with a standard deviation of 3.1; the histogram's error makes it more.
    assert held >= 181


def test_counters_that_do_not_add_up_are_refused() -> None:
    data = histogram_of([1, 2, 3]).to_dict()
    with pytest.raises(ValueError, match="add up"):
        Histogram.from_dict({**data, "count": 4})
    with pytest.raises(ValueError, match="sub-bits"):
        Histogram.from_dict({**data, "sub_bits": 5})
    for counters in ([1, 1, COUNTERS, 2], [-1, 3], [1, -1, 1, 4]):
        with pytest.raises(ValueError, match="in its counter"):
            Histogram.from_dict({**data, "counters": counters})


def test_rank_is_not_pushed_up_by_binary_fractions() -> None:
    values = list(range(1000))
    random.Random(1).shuffle(values)
    # 99.9 % of 1000 is the 999th value, 998; the 1000th would be 999.
    assert index_of(round((histogram_of(values).percentile(99.9) or 0) * 1e6)) == index_of(998)
