"""Started as a script by another Python than the lab's: `PYTHON start_elsewhere.py FOLDER...`.

It does what `python -m pytest_winserve.backend` does, with these folders at the very end of the
path, so that they replace nothing of the app's. The first of them has this package; another version
of it may be installed there.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    folders = sys.argv[1:]
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing is imported yet
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(own):
        sys.path[0] = os.getcwd()  # noqa: PTH109
    sys.path.insert(0, folders[0])
    import pytest_winserve.backend  # noqa: F401 - all of the package is that of this folder then

    del sys.path[0]
    sys.path += folders
    del sys.argv[1:]
    import runpy

    runpy.run_module("pytest_winserve.backend", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
