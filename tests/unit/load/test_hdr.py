"""What is exported is read back by the package hdrhistogram, and says the same."""

from __future__ import annotations

import base64
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.load.measures.histogram import RELATIVE_ERROR, Histogram
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results import hdr
from pytest_winserve.load.results.result import Result
from pytest_winserve.load.results.shares import Generator, Second

hdrh: Any = pytest.importorskip(
    "hdrh.histogram", reason="hdrhistogram is not installed: pip install 'pytest-winserve[hdr]'"
)

QUANTILES = (0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record_many(values)
    return histogram


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=60))
def test_every_percentile_is_the_same_within_the_stated_error(values: list[int]) -> None:
    histogram = histogram_of(values)
    read = hdrh.HdrHistogram.decode(hdr.encode(histogram))
    assert read.get_total_count() == len(values)
    # Of each sample: what lies between two is rounded up here and to the nearest there.
    for rank in range(1, len(values) + 1):
        q = 100 * rank / len(values)
        ours = round((histogram.percentile(q) or 0) * 1e6)
        theirs = read.get_value_at_percentile(q)
        # Theirs is the end of the counter, ours never above the greatest value in it.
        assert ours <= theirs <= ours * (1 + RELATIVE_ERROR)


@given(st.lists(st.integers(0, 2**32 - 1)), st.lists(st.integers(0, 2**32 - 1)))
def test_there_they_add_up_as_here(a: list[int], b: list[int]) -> None:
    there = hdrh.HdrHistogram.decode(hdr.encode(histogram_of(a)))
    there.add(hdrh.HdrHistogram.decode(hdr.encode(histogram_of(b))))
    both = hdrh.HdrHistogram.decode(hdr.encode(histogram_of(a + b)))
    assert there.get_total_count() == both.get_total_count()
    for q in QUANTILES:
        assert there.get_value_at_percentile(q) == both.get_value_at_percentile(q)


def test_it_is_the_compressed_v2_format() -> None:
    # V2CompressedEncodingCookieBase | 0x10 of HdrHistogram's AbstractHistogram.java.
    assert base64.b64decode(hdr.encode(histogram_of([1])))[:4].hex() == "1c849314"


def test_beyond_the_range_it_is_the_highest() -> None:
    read = hdrh.HdrHistogram.decode(hdr.encode(histogram_of([2**40])))
    assert read.get_total_count() == 1
    assert read.get_value_at_percentile(100) == hdr.HIGHEST


def result(*seconds: Histogram | None) -> Result:
    timeline = [
        Second(at, finished=0 if part is None else part.count, total=part)
        for at, part in enumerate(seconds)
    ]
    n = sum(second.finished for second in timeline)
    whole = Histogram.merged(part for part in seconds if part is not None)
    return Result(
        plan=Plan.make(users=1, duration=3), engine="builtin", url="http://127.0.0.1:1", sent=n,
        outcomes={"200": n}, dropped=0, elapsed=3.0, connect=Histogram(), first_byte=Histogram(),
        total=whole, sessions=Histogram(), timeline=tuple(timeline), by_backend={},
        generator=Generator(1, 0, 0.1, 0.0, "none"),
    )  # fmt: skip


def test_a_log_has_every_second(tmp_path: Path) -> None:
    parts = [histogram_of([1000] * 5), histogram_of([]), histogram_of([2000, 40_000])]
    path = tmp_path / "load.hlog"
    with path.open("w") as file:
        hdr.write_log(result(*parts), file)
    reference = hdrh.HdrHistogram(1, hdr.HIGHEST, hdr.DIGITS)
    reader = importlib.import_module("hdrh.log").HistogramLogReader(str(path), reference)
    counts, starts = [], []
    while (read := reader.get_next_interval_histogram()) is not None:
        counts.append(read.get_total_count())
        starts.append(read.get_start_time_stamp())
    reader.close()
    assert counts == [5, 0, 2]
    assert starts == [0, 1000, 2000]


def test_seconds_without_times_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, pytest.raises(UsageError, match="by builtin has no"):
        hdr.write_log(result(None, None), file)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdrh.histogram", None)
    with pytest.raises(MissingComponent, match=r"pip install 'pytest-winserve\[hdr\]'"):
        hdr.encode(histogram_of([1]))
