"""What a platform cannot do, as marks whose reasons say so; see the rule in `conftest.py`."""

from __future__ import annotations

import ctypes
import sys

import pytest

WINE = sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
"""Whether this Windows is Wine. Tried is Wine 8; what it cannot do is tested on a real Windows."""


def not_on_windows(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(sys.platform == "win32", reason=f"platform: {reason}")


def not_on_wine(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(WINE, reason=f"platform: Wine 8 {reason}")


windows_only = pytest.mark.skipif(
    sys.platform != "win32", reason="platform: about Windows' own process control"
)
calls_it_a_zombie = pytest.mark.skipif(
    sys.platform != "linux", reason="platform: Linux calls a process without its first thread so"
)
shows_resets = not_on_wine("shows a client a reset that follows data as an orderly end")
tells_who_listens = not_on_wine("does not tell which process listens on a port")
