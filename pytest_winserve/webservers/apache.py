"""Apache httpd: where it is, which modules it has, how one with a configuration of its own is run.

The front `apache` and the servers `mod_wsgi` and `cgi` use it.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.system.ports import Address
from pytest_winserve.webservers.program import WebServer, configuration

WINDOWS = os.name == "nt"
"""A name of its own, because type checkers follow one platform only."""

GET_IT = (
    "unpack Apache for Windows (https://www.apachelounge.com/download/) to C:\\Apache24"
    if WINDOWS
    else "sudo apt-get install apache2 (Fedora: httpd; macOS has it)"
)
APACHE = WebServer("apache", "Apache", r"Apache/(\d\S*)", GET_IT)
PROGRAMS = ("httpd",) if WINDOWS else ("apache2", "httpd")
PLACES = (
    (
        "C:/Apache24/bin/httpd.exe",
        "C:/tools/Apache24/bin/httpd.exe",
        "C:/xampp/apache/bin/httpd.exe",
    )
    if WINDOWS
    else ("/usr/sbin/apache2", "/usr/sbin/httpd", "/usr/local/apache2/bin/httpd")
)
MODULE_PLACES = (
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/libexec/apache2",
)
ALWAYS = ("log_config", "authz_core") + (() if WINDOWS else ("mpm_event", "unixd"))
NOBODY = 65534
_ERROR = re.compile(
    r"\[[^\]]*\] \[(?P<module>\w*):(?:error|crit|alert|emerg)\] (?:\[[^\]]*\] )*(?P<what>.*)"
)
_OF_APPS = {"wsgi", "cgi", "cgid"}
"""Modules that pass on what apps write, whatever it is, as errors of their own."""
_PLACE = re.compile(r"\d+\.\d+\.\d+\.\d+(?::\d+)?")
ERROR_LOG, PID_FILE = "error.log", "httpd.pid"


@dataclass(frozen=True, slots=True)
class Httpd:
    """An Apache: its program, its version, the modules in it and the folder of the others."""

    path: Path
    version: str
    built_in: frozenset[str]
    modules: Path | None

    def files(self, wanted: Iterable[str]) -> list[tuple[str, Path]]:
        """The modules that must be loaded to have those `wanted` (`proxy_http`), with their files.

        Raises MissingComponent that names all that are not there.
        """
        names = [name for name in [*ALWAYS, *wanted] if name not in self.built_in]
        if self.modules is None:
            raise MissingComponent("apache", f"no folder has the modules of {self.path}", GET_IT)
        found = [(name, self.modules / f"mod_{name}.so") for name in names]
        missing = [file.stem for _, file in found if not file.is_file()]
        if missing:
            raise MissingComponent(
                "apache", f"{self.path} is without {', '.join(missing)} in {self.modules}", GET_IT
            )
        return found


def find_httpd() -> Httpd:
    """The Apache that is first on the PATH, else in one of the usual places. Raises
    MissingComponent."""
    on_path = (shutil.which(program) for program in PROGRAMS)
    places = (place for place in PLACES if Path(place).is_file())
    found = next((each for each in [*on_path, *places] if each), None)
    if found is None:
        raise MissingComponent(
            "apache", "there is no Apache on the PATH nor in a usual place", GET_IT
        )
    return look_at(Path(found).absolute())


def look_at(path: Path) -> Httpd:
    """The Apache at `path`; MissingComponent when it is none, or does not work."""
    version = APACHE.version_in(APACHE.ask(path, "-v"), path)
    built_in = {line.strip().removesuffix(".c") for line in APACHE.ask(path, "-l").splitlines()}
    # Its own modules first: another Apache may be installed as well.
    places = [path.parents[1] / "modules", *map(Path, MODULE_PLACES)]
    return Httpd(
        path,
        version,
        frozenset(name.removeprefix("mod_") for name in built_in),
        next((place for place in places if place.is_dir()), None),
    )


def configure(
    httpd: Httpd,
    template: str,
    folder: Path,
    listen: Address,
    threads: int,
    modules: Iterable[tuple[str, Path]],
    **values: Any,
) -> list[str]:
    """Write the configuration that `template` of the lab gives into `folder`, and return the
    command that runs it in the foreground. Raises StartError where it could not run."""
    text = configuration(
        "apache",
        template,
        folder=folder.as_posix(),
        listen="{}:{}".format(*listen),
        threads=threads,
        modules=[(name, file.as_posix()) for name, file in modules],
        windows=WINDOWS,
        **values,
    )
    (folder / "httpd.conf").write_text(text, encoding="utf-8")
    command = [str(httpd.path), "-d", folder.as_posix(), "-f", f"{folder.as_posix()}/httpd.conf"]
    return [*_as_nobody(), *command, *([] if WINDOWS else ["-D", "FOREGROUND"])]


def _as_nobody() -> list[str]:
    """Root's Apache runs as nobody, because it refuses to serve as root; but as a nobody who can
    read the lab's folder and the app, which are often root's alone."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartError(
            "Apache does not serve as root, and there is no program setpriv to run it as nobody: "
            "run this as another user"
        )
    return [
        setpriv,
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        # Without it access(2), by which mod_wsgi looks for pyvenv.cfg, does not see the right.
        "--securebits=+no_setuid_fixup",
    ]


def complaint(line: str) -> tuple[str, bool] | None:
    """The kind of an error in its error log, without addresses; see `Complaining`."""
    found = _ERROR.match(line)
    if found is None or found["module"] in _OF_APPS:
        return None
    return _PLACE.sub("ADDRESS", found["what"]), True


def socket_folder(folder: Path) -> str:
    """What Apache is to call `folder`, where it runs, for a socket's path, which may have 107
    characters only."""
    return "/proc/self/cwd" if sys.platform == "linux" else folder.as_posix()


def quit_command(folder: Path) -> list[str] | None:
    """The command that asks the Apache in `folder` to stop, where a signal cannot."""
    pid = (folder / PID_FILE).read_text().strip() if WINDOWS else ""
    return [sys.executable, "-m", "pytest_winserve.webservers.apache", pid] if WINDOWS else None


def _stop_on_windows(pid: int) -> int:
    """Set the event that the Apache with that pid waits for (mpm_winnt.c: `apPID_shutdown`)."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenEventW.restype = ctypes.c_void_p
        event = kernel.OpenEventW(0x0002, False, f"ap{pid}_shutdown")  # EVENT_MODIFY_STATE
        if event and kernel.SetEvent(ctypes.c_void_p(event)):
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(_stop_on_windows(int(sys.argv[1])))
