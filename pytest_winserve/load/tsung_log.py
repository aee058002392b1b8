"""Public address of the reader of tsung's logs."""

from __future__ import annotations

from pytest_winserve.load.engines.tsung.log import TsungLog, read_log
from pytest_winserve.load.results.tsung_report import Block, Counter, Report, Row, Sample, report_of

__all__ = ["Block", "Counter", "Report", "Row", "Sample", "TsungLog", "read_log", "report_of"]
