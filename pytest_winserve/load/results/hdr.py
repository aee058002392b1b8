"""Histograms for other tools: HdrHistogram's own format, which its Java, C, Go and JavaScript
readers and plotters take. Values are microseconds.

Our counters are those of an HdrHistogram with two significant digits from 1 us up, index by index:
so nothing is recorded anew, and what is read back is what was measured.
"""

from __future__ import annotations

import importlib
from typing import Any, TextIO

from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.load.measures.histogram import RANGE_BITS, Histogram, highest_of
from pytest_winserve.load.results.result import Result

DIGITS = 2
HIGHEST = 2**RANGE_BITS - 1
"""Microseconds; what took longer (71 minutes) counts as this."""


def encode(histogram: Histogram) -> str:
    """The histogram as base64 of HdrHistogram's compressed V2 format.

    MissingComponent without the package hdrhistogram.
    """
    text: bytes = _made(histogram).encode()
    return text.decode("ascii")


def write_log(result: Result, file: TextIO) -> None:
    """A line per second of a load, with its total times, in HdrHistogram's log format 1.2.

    Seconds count from 0, maxima are in milliseconds. UsageError when the result has no times by
    second, MissingComponent as `encode`.
    """
    if all(second.total is None for second in result.timeline):
        raise UsageError(f"a load by {result.engine} has no times by second to export")
    writer = _module("hdrh.log").HistogramLogWriter(file)
    writer.output_log_format_version()
    writer.output_legend()
    for second in result.timeline:
        if second.total is not None:
            made = _made(second.total)
            made.set_start_time_stamp(second.at * 1000)
            made.set_end_time_stamp((second.at + 1) * 1000)
            writer.output_interval_histogram(made, max_value_unit_ratio=1000.0)


def _made(histogram: Histogram) -> Any:
    made = _module("hdrh.histogram").HdrHistogram(1, HIGHEST, DIGITS)
    for index, times in histogram.counters:
        made.record_value(min(highest_of(index), HIGHEST), times)
    return made


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingComponent(
            "hdrhistogram", str(error), "pip install 'pytest-winserve[hdr]'"
        ) from error
