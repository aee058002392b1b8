"""Public address of what writes histograms in HdrHistogram's format."""

from __future__ import annotations

from pytest_winserve.load.results.hdr import encode, write_log

__all__ = ["encode", "write_log"]
