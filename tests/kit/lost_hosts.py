"""Loads of a site on another machine that is lost meanwhile."""

from __future__ import annotations

USERS, SECONDS, BEFORE = 5, 3.0, 20
LONG = 600.0
"""A load that would not end by itself before the test is given up."""
WAITS = """
import time
def test_waits(winserve):
    open("up", "w").close()
    time.sleep(600)
"""
