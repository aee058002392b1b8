"""Latency histograms: bounded size, bounded error, exact merge.

The layout is HdrHistogram's (log-linear counters, http://hdrhistogram.org): with SUB_BITS = 7 a
value v in whole microseconds below 256 has a counter of its own; above, h = bit_length(v) - 8 and
the counter is h * 128 + (v >> h). A counter is at most 1/128 of its values wide, so a percentile is
never below the true one and at most 0.8 % (1/128) above. 3328 counters reach 2**32 us (71 min);
only those that are not zero are kept, so that there may be a histogram for every second.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

SUB_BITS = 7
RELATIVE_ERROR = 1 / 2**SUB_BITS
RANGE_BITS = 32
COUNTERS = (RANGE_BITS - SUB_BITS + 1) << SUB_BITS
TABLE_US = 2**17
"""Values below have their counters looked up in a table, which is all work in C."""


def index_of(us: int) -> int:
    """The counter of a value in microseconds; values above the range share the last counter."""
    if us < 256:
        return us
    h = us.bit_length() - 8
    index = (h << SUB_BITS) + (us >> h)
    return index if index < COUNTERS else COUNTERS - 1


@cache
def _indices() -> list[int]:
    """`index_of` of every value below TABLE_US."""
    table = list(range(256))
    while len(table) < TABLE_US:
        width = 1 << (len(table).bit_length() - SUB_BITS - 1)
        table += [index_of(len(table))] * width
    return table


def highest_of(index: int) -> int:
    """The highest value in microseconds that falls into a counter."""
    if index < 256:
        return index
    h = (index >> SUB_BITS) - 1
    return (((index & 127) + 128 + 1) << h) - 1


class Histogram:
    """Counts of durations. Seconds at the interface, whole microseconds inside."""

    __slots__ = ("_counts", "_max_us", "_min_us", "_n", "_sum_us")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._n = 0
        self._sum_us = 0
        self._min_us: int | None = None
        self._max_us = 0

    def record(self, seconds: float) -> None:
        """Record one duration in seconds, rounded to whole microseconds.

        ValueError when it is negative or not finite."""
        if not (0 <= seconds < math.inf):
            raise ValueError(f"not a duration: {seconds!r} s")
        self.record_us(round(seconds * 1e6))

    def record_us(self, us: int) -> None:
        """Record one duration in whole microseconds. ValueError when it is negative."""
        self.record_many([us])

    def record_many(self, values: list[int]) -> None:
        """Record durations in whole microseconds, which is much cheaper than one by one.

        A hot path appends to a list and hands it over now and then: all work per value is in C.
        ValueError when one is negative; nothing is recorded then.
        """
        if not values:
            return
        low = min(values)
        if low < 0:
            raise ValueError(f"not a duration: {low} us")
        high = max(values)
        counts = self._counts
        find = _indices().__getitem__ if high < TABLE_US else index_of
        for index, times in Counter(map(find, values)).items():
            counts[index] = counts.get(index, 0) + times
        self._n += len(values)
        self._sum_us += sum(values)
        self._max_us = max(self._max_us, high)
        self._min_us = low if self._min_us is None else min(self._min_us, low)

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` recorded; exact."""
        if other._min_us is None:
            return
        counts = self._counts
        for index, times in other._counts.items():
            counts[index] = counts.get(index, 0) + times
        self._n += other._n
        self._sum_us += other._sum_us
        self._max_us = max(self._max_us, other._max_us)
        low = other._min_us
        self._min_us = low if self._min_us is None else min(self._min_us, low)

    @classmethod
    def merged(cls, histograms: Iterable[Histogram]) -> Histogram:
        """One histogram with everything that the given ones recorded; they stay as they are."""
        result = cls()
        for histogram in histograms:
            result.merge(histogram)
        return result

    @property
    def count(self) -> int:
        return self._n

    @property
    def sum_us(self) -> int:
        """The exact sum of all values, in microseconds."""
        return self._sum_us

    @property
    def mean(self) -> float | None:
        """Seconds, from the exact sum; None when nothing was recorded."""
        return self._sum_us / self._n / 1e6 if self._n else None

    @property
    def min(self) -> float | None:
        """Seconds, exact to the microsecond; None when nothing was recorded."""
        return None if self._min_us is None else self._min_us / 1e6

    @property
    def max(self) -> float | None:
        """Seconds, exact to the microsecond; None when nothing was recorded."""
        return self._max_us / 1e6 if self._n else None

    def percentile(self, q: float) -> float | None:
        """The value in seconds that q percent (0 < q <= 100) of the samples do not exceed.

        At most 0.8 % above the sample of rank ceil(q/100 * n), never below it, never above `max`.
        None when nothing was recorded; ValueError when q is out of range.
        """
        if not 0 < q <= 100:
            raise ValueError(f"a percentile lies in 0 < q <= 100, not {q!r}")
        if not self._n:
            return None
        # Rounded first: 99.9 / 100 * 1000 is a hair above 999 in binary.
        return self._of_rank(max(1, math.ceil(round(q * self._n / 100, 6))))

    def percentile_interval(self, q: float) -> tuple[float, float] | None:
        """Seconds between which the true percentile lies with 95 % confidence, if the samples are
        independent: those of the ranks n*p -+ 1.96 * sqrt(n*p*(1-p)), p = q/100, with the
        histogram's error. None when there are too few samples for both ends.
        """
        p, n = q / 100, self._n
        half = 1.96 * math.sqrt(n * p * (1 - p))
        low, high = math.floor(n * p - half), math.ceil(n * p + half)
        if not 1 <= low < high <= n:
            return None
        return self._of_rank(low) / (1 + RELATIVE_ERROR), self._of_rank(high)

    def _of_rank(self, rank: int) -> float:
        """The sample of that rank, from 1 for the shortest, or at most 0.8 % more."""
        seen = 0
        for index, times in sorted(self._counts.items()):
            seen += times
            if seen >= rank:
                if index == COUNTERS - 1:
                    break
                return min(highest_of(index), self._max_us) / 1e6
        return self._max_us / 1e6

    def enough_for(self, q: float) -> bool:
        """Whether n * (1 - q/100) >= 10: at least ten samples lie above the percentile."""
        return round(self._n * (100 - q), 6) >= 1000

    def above(self, seconds: float) -> int:
        """How many samples are longer; those within 0.8 % (1/128) of it may be left out."""
        bound = index_of(int(seconds * 1e6))
        return sum(times for index, times in self._counts.items() if index > bound)

    @property
    def counters(self) -> list[tuple[int, int]]:
        """(index, times) of every counter that is not zero, by index; see `highest_of`."""
        return sorted(self._counts.items())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able and exact.

        `counters` is flat, [step, times, step, times, ...]: of each counter that is not zero how
        far its index lies beyond that of the one before, for the first beyond 0, and its count.
        """
        flat: list[int] = []
        before = 0
        for index, times in self.counters:
            flat += (index - before, times)
            before = index
        return {
            "sub_bits": SUB_BITS,
            "count": self._n,
            "sum_us": self._sum_us,
            "min_us": self._min_us,
            "max_us": self._max_us,
            "counters": flat,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Histogram:
        """The inverse of to_dict, also of its older form with pairs [index, times] as counters.

        ValueError when the layout is another one or does not add up.
        """
        if data["sub_bits"] != SUB_BITS:
            raise ValueError(f"a histogram with {data['sub_bits']} sub-bits, not {SUB_BITS}")
        result = cls()
        for index, times in _pairs(data["counters"]):
            if not 0 <= index < COUNTERS or times < 1:
                raise ValueError(f"a histogram with {times} values in its counter {index}")
            result._counts[index] = times
        result._n = data["count"]
        if sum(result._counts.values()) != result._n:
            raise ValueError("a histogram whose counters do not add up to its count")
        result._sum_us = data["sum_us"]
        result._min_us = data["min_us"]
        result._max_us = data["max_us"]
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram count={self._n} mean={self.mean} max={self.max}>"


def _pairs(counters: Sequence[Any]) -> Iterable[tuple[int, int]]:
    if counters and isinstance(counters[0], list):
        return ((index, times) for index, times in counters)
    return zip(accumulate(counters[::2]), counters[1::2], strict=True)
