"""Where things are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

NAME = "pytest-winserve"


def cache_folder() -> Path:
    """What is kept between runs: in `XDG_CACHE_HOME`, or where this system has a user's caches.

    On another machine, before anything is brought there, `shipping.arrival` says the same.
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache:
        return Path(cache).absolute() / NAME
    # In the folder of the name itself on Windows, too, not in one called Cache below it.
    return user_cache_path(NAME, appauthor=False, opinion=False)
