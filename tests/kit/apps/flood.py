"""Writes 100 MB to its standard output and as much to its standard error while it loads."""

from __future__ import annotations

import sys

from .answer import answering

LINE = "x" * 9999 + "\n"

for _ in range(10_000):
    sys.stdout.write(LINE)
    sys.stderr.write(LINE)

app = answering(lambda environ: "flooded")
