"""What runs, as settings.py describes it, and whether it answers."""

from __future__ import annotations

import http.client
import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent
SETTINGS = runpy.run_path(str(HERE / "settings.py"))
LOGS = HERE / "logs"
LOG_BYTES = 10 * 1024 * 1024
"""From which size on a log is followed by a new one."""
LOG_ENDINGS = (".log", ".err.log", ".out.log")
"""NSSM has one log for a service, WinSW one for each stream."""


class Failed(Exception):
    """What went wrong, and what to do."""


class Service(NamedTuple):
    """A program that runs as a service, and where it listens."""

    name: str
    program: str
    arguments: list[str]
    folder: Path
    address: str
    port: int
    needs: list[str]
    """The services that are started before this one."""

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}{LOG_ENDINGS[0]}"

    @property
    def last_log(self) -> Path:
        """The one that was written last, of those that have something in them."""
        logs = [LOGS / f"{self.name}{ending}" for ending in LOG_ENDINGS]
        written = [log for log in logs if log.exists() and log.stat().st_size]
        return max(written, key=lambda log: log.stat().st_mtime, default=self.log)


def backends() -> list[Service]:
    return [
        Service(
            f"{SETTINGS['NAME']}-backend-{number}",
            SETTINGS["PYTHON"],
            ["backend.py", *arguments],
            HERE,
            address,
            port,
            [],
        )
        for number, (address, port, arguments) in enumerate(SETTINGS["BACKENDS"], 1)
    ]


def fronts() -> list[Service]:
    """The front as a list, which is empty where there is none."""
    front = SETTINGS["FRONT"]
    if front is None:
        return []
    folder = HERE / front["folder"]
    inside = folder / front["command"][0]
    return [
        Service(
            f"{SETTINGS['NAME']}-front",
            str(inside) if inside.is_file() else front["command"][0],
            front["command"][1:],
            folder,
            front["address"],
            front["port"],
            [backend.name for backend in backends()],
        )
    ]


def answer(service: Service) -> str:
    """What it answers to one request, in a word; empty when it does not."""
    address = "127.0.0.1" if service.address == "0.0.0.0" else service.address
    connection = http.client.HTTPConnection(
        address, service.port, timeout=SETTINGS["READY_SECONDS"]
    )
    try:
        connection.request("GET", SETTINGS["READY_PATH"], headers=SETTINGS["READY_HEADERS"])
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def is_good(status: str) -> bool:
    return status != "" and int(status) < 500


def wait_until_ready(service: Service, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return when it answers. Raises Failed with the end of its log when it does not in time, or
    when its process has ended."""
    deadline = time.monotonic() + SETTINGS["READY_SECONDS"]
    while True:
        last = answer(service)
        if is_good(last):
            return
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            what = f"answers with {last}" if last else "does not answer"
            raise Failed(
                f"{service.name} {what} in {SETTINGS['READY_SECONDS']} s: GET "
                f"{SETTINGS['READY_PATH']} at {service.address}:{service.port} (READY_PATH and "
                f"READY_SECONDS in settings.py). Its log, {service.last_log}, ends with:\n"
                f"{tail(service.last_log)}"
            )
        time.sleep(0.2)


def tail(log: Path) -> str:
    text = log.read_text("utf-8", "replace") if log.exists() else "(there is none)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-12:])


def is_free(service: Service) -> bool:
    """Whether nobody listens where it is to listen."""
    with socket.socket() as sock:
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((service.address, service.port))
        except OSError:
            return False
    return True
