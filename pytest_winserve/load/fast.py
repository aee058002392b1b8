"""Which package makes asyncio faster, where the engine uses asyncio."""

from __future__ import annotations

import sys

FAST_LOOP = {"win32": "winloop", "darwin": "uvloop"}.get(sys.platform)
"""None on Linux, where the engine has a loop of its own."""
