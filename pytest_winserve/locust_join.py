"""Sends for a load of the engine `locust` on another machine, with the address where that load's
master listens: `python -m pytest_winserve.locust_join HOST:PORT`.

A module outside of `load`, so that Locust is imported before anything that it replaces. Locust can
take its file from the master, too (`-f -`), but then all its workers on a machine write one file.
"""

from __future__ import annotations

import sys
from pathlib import Path

USAGE = "usage: python -m pytest_winserve.locust_join HOST:PORT"


def main(arguments: list[str]) -> None:
    """Be a worker until the master is done; what follows the address is for Locust."""
    host, _, port = arguments[0].rpartition(":") if arguments else ("", "", "")
    if not host or not port.isdecimal():
        sys.exit(USAGE)
    try:
        from locust.main import main as locust
    except ModuleNotFoundError:
        sys.exit("Locust is not installed: pip install 'pytest-winserve[locust]'")
    file = Path(__file__).parent / "load" / "engines" / "locust" / "locustfile.py"
    where = ["--master-host", host, "--master-port", port]
    sys.argv = ["locust", "-f", str(file), "--worker", *where, *arguments[1:]]
    locust()


if __name__ == "__main__":
    main(sys.argv[1:])
