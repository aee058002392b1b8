"""Apache as the reverse proxy in front of the backends: mod_proxy_balancer, by requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging.version import Version

from pytest_winserve.fronts import Attempt, LogLine
from pytest_winserve.options import Option, Options
from pytest_winserve.system.certificate import CHAIN_FILE, KEY_FILE
from pytest_winserve.system.ports import Address
from pytest_winserve.webservers.apache import (
    ERROR_LOG,
    PID_FILE,
    complaint,
    configure,
    find_httpd,
    look_at,
    quit_command,
)
from pytest_winserve.webservers.program import FrontBinary

MODULES = (
    "proxy",
    "proxy_http",
    "proxy_balancer",
    "lbmethod_byrequests",
    "slotmem_shm",
    "headers",
    "rewrite",
)

UPGRADES = Version("2.4.47")
"""The first whose mod_proxy_http passes on the upgrade to a WebSocket."""

_TAKEN = re.compile(r"AH00072: make_sock: could not bind")
_STARTED = re.compile(r"\[pid (\d+)[^\n]*AH02471: start_threads")
_ENDED = re.compile(r"AH00428: Parent: child process (\d+) exited")  # on Windows


class ApacheFront:
    """One process, whose threads each carry one request; round robin over the backends."""

    name = "apache"
    options = (
        Option("keepalive", True, "keep connections to the backends; false: one per request"),
        Option("threads", 1024, "requests at once; the others wait to be accepted", 1, 15_000),
        Option("connect_timeout", 60, "seconds to connect to a backend", 1, 75),
        Option("read_timeout", 60, "seconds between two reads from a backend", 1, 86_400),
        Option("fail_timeout", 10, "seconds that a failed backend is left out", 1, 3600),
        Option("retry", True, "try the next backend where one cannot be connected to"),
        Option("sticky", False, "a user stays with one backend, by a cookie of the front's"),
        Option("tls", False, "https, by a certificate that only the lab's clients trust"),
        Option(
            "body_limit", 0, "megabytes of a request's body; a larger one is 413; 0: any", 0, 2047
        ),
    )

    def find(self, which: str) -> FrontBinary:
        """The Apache that is first on the PATH, else in a usual place; `which` is about nginx."""
        httpd = find_httpd()
        httpd.files(MODULES)
        return FrontBinary(httpd.path, "system", httpd.version)

    def prepare(
        self,
        binary: FrontBinary,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
    ) -> list[str]:
        httpd = look_at(binary.path)
        return configure(
            httpd,
            "front.conf.j2",
            folder,
            listen,
            int(options["threads"]),
            httpd.files([*MODULES, "ssl"] if options["tls"] else MODULES),
            certificate=CHAIN_FILE,
            key=KEY_FILE,
            backends=backends,
            upgrades=Version(httpd.version) >= UPGRADES,
            options={k: v if isinstance(v, bool) else int(v) for k, v in options.items()},
        )

    def keeps_connections(self, options: Options) -> bool:
        return bool(options["keepalive"])

    def keeps_users(self, options: Options) -> bool:
        return bool(options["sticky"])

    def secures(self, options: Options) -> bool:
        return bool(options["tls"])

    def quit_command(self, binary: FrontBinary, folder: Path) -> list[str] | None:
        return quit_command(folder)

    def listening(self, folder: Path) -> bool:
        return (folder / PID_FILE).exists()  # written after the sockets are open

    def error_log(self, folder: Path) -> Path:
        return folder / ERROR_LOG

    def deaths(self, folder: Path) -> list[str]:
        log = self.error_log(folder)
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        # There is one at a time, so that each but the last has ended before the next was started.
        ended = [*_STARTED.findall(text)[:-1], *_ENDED.findall(text)]
        return [f"apache: process {pid} ended, and another took its place" for pid in ended]

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return complaint(line)

    def unlogged(self, options: Options) -> int:
        return int(options["threads"])  # each sends an answer, then logs it

    def access_log(self, folder: Path) -> Path:
        return folder / "access.log"

    def port_taken(self, folder: Path) -> bool:
        # Where its output goes: its own log is opened after the sockets are.
        log = folder / f"{self.name}.log"
        return log.exists() and bool(_TAKEN.search(log.read_text("utf-8", "replace")))

    def read_log(self, lines: Iterable[str]) -> Iterator[LogLine]:
        """Apache knows the last try of a request only. It tries another backend when it could not
        connect to one, so that the tries before the last have not reached any app."""
        for line in lines:
            tag, status, worker, answered = line.rstrip("\n").split("\t")
            address = worker.rpartition("/")[2]
            tries = (Attempt(address, answered != "-"),) if ":" in address else ()
            yield LogLine("" if tag == "-" else tag, int(status), tries)


FRONT = ApacheFront()
