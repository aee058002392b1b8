"""What the code must know of the Windows that it runs on."""

from __future__ import annotations

import sys
from functools import cache


@cache
def wine_version() -> str | None:
    """The version of Wine, such as 8.0, when it stands in for Windows; else None."""
    if sys.platform == "win32":
        import ctypes

        # Only Wine's ntdll has it. Source: Wine's developer FAQ.
        get_version = getattr(ctypes.WinDLL("ntdll"), "wine_get_version", None)
        if get_version is not None:
            get_version.restype = ctypes.c_char_p
            version: bytes = get_version()
            return version.decode()
    return None


def has_library(name: str) -> bool:
    """Whether the system has that DLL; True where there are none, which is not Windows."""
    if sys.platform == "win32":
        import ctypes

        try:
            ctypes.WinDLL(name)
        except OSError:
            return False
    return True


def tells_cpu_of_others() -> bool:
    """Whether the system knows the CPU time of other processes. Wine 8 gives the asking one's."""
    return wine_version() is None


def tells_who_listens() -> bool:
    """Whether the system knows which process has a port. Wine 8 takes minutes to say nothing."""
    return wine_version() is None
