"""Windows' services, whatever has made them: their states, and how they start and stop."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from .site import HERE, Failed, Service, is_free, tail, wait_until_ready

STATES = {1: "stopped", 2: "starting", 3: "stopping", 4: "running", 7: "paused"}
"""By Windows' numbers. NSSM pauses a service whose program ends at once, again and again."""
MAY_CONNECT, MAY_ASK, NO_SUCH_SERVICE = 0x1, 0x4, 1060
SERVICES = r"SYSTEM\CurrentControlSet\Services"
"""Where Windows has them in its registry."""
STARTED = ("running", "starting", "paused")
TOO_LONG = 1460
"""What `run` gives as the status of a command that did not end: Windows' number for that."""
NOT_STARTED = 1359
"""What it gives for one that Windows did not start: its number for an internal error, which is what
Wine says of it on a busy machine."""
BUSY = (1, 1053, 1055, TOO_LONG, NOT_STARTED)
"""How `sc` ends when Windows' service manager did not get to it in time; 1 is Wine's."""
COMMAND_SECONDS = 120.0
"""How long a command of Windows or of the wrapper may take."""
BUSY_SECONDS = 60.0
"""How long what Windows or the wrapper refuses is asked again: on a busy machine they refuse what
is right, such as a change of a service that is there."""
STOP_SECONDS = 300.0
"""Many times GRACE_MILLISECONDS, for a machine that is busy."""
PORT_SECONDS = 90.0
"""How long after its service has stopped a port may be taken."""
GRACE_MILLISECONDS = 20_000
"""How long a program may take to end by itself when it is asked to; then it is killed."""


def run(*command: str) -> tuple[int, str]:
    """The exit status of a command, and what it says; NSSM says it in UTF-16.

    To a file: a service that is started meanwhile could keep a pipe open, which would never end.
    """
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                timeout=COMMAND_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return TOO_LONG, f"it did not end in {COMMAND_SECONDS:g} s"
        except OSError as error:
            return NOT_STARTED, f"it could not be started: {error}"
        output.seek(0)
        said = output.read().replace(b"\0", b"")
    return done.returncode, said.decode("utf-8", "replace").strip()


def change(service: Service, *command: str, once: bool = False) -> None:
    """Have a command change a service that is there. `once`: what is refused is not asked again."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        status, said = run(*command)
        if not status:
            return
        what = state(service)
        if not what or once or time.monotonic() > deadline:
            words = " ".join([Path(command[0]).stem, *command[1:4]])
            raise Failed(
                f"{words}: {said or f'exit status {status}'} (to Windows the service is "
                f"{what or 'not installed'}); the same command can be run again"
            )
        time.sleep(1)


def state(service: Service) -> str:
    """What Windows says of the service; empty when there is none of that name."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return state_now(service)
        except OSError as error:
            if time.monotonic() > deadline:
                raise Failed(
                    f"for {BUSY_SECONDS:g} s Windows did not tell the state of {service.name}: "
                    f"{error}; the same command can be run again"
                ) from None
        time.sleep(1)


def state_in_time(service: Service, wanted: str) -> str:
    """As `state`, when that is what is wanted, or BUSY_SECONDS have gone by."""
    deadline = time.monotonic() + BUSY_SECONDS
    while (what := state(service)) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return what


def state_now(service: Service) -> str:
    """As `state`, asked once. Raises OSError."""
    if sys.platform == "win32":
        import ctypes

        library = ctypes.WinDLL("advapi32", use_last_error=True)
        library.OpenSCManagerW.restype = library.OpenServiceW.restype = ctypes.c_void_p
        manager = ctypes.c_void_p(library.OpenSCManagerW(None, None, MAY_CONNECT))
        handle = ctypes.c_void_p(library.OpenServiceW(manager, service.name, MAY_ASK))
        error = ctypes.get_last_error()
        told = (ctypes.c_uint32 * 7)()  # a SERVICE_STATUS; the second number is the state
        good = bool(handle) and bool(library.QueryServiceStatus(handle, told))
        for each in (handle, manager):
            library.CloseServiceHandle(each)
        if good:
            return STATES.get(told[1], f"in state {told[1]}")
        if error == NO_SUCH_SERVICE:
            return ""
        raise ctypes.WinError(error)
    raise Failed("these services are for Windows; nothing was changed")


def command_of(service: Service) -> str:
    """What Windows starts as the service, without quotes at its beginning; empty when there is
    none of that name."""
    if sys.platform == "win32":
        import winreg

        with (
            suppress(FileNotFoundError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\{service.name}") as key,
        ):
            return os.path.normcase(str(winreg.QueryValueEx(key, "ImagePath")[0])).lstrip('"')
    return ""


def is_ours(service: Service) -> bool:
    """Whether the service that has this name is of this folder."""
    return command_of(service).startswith(os.path.normcase(f"{HERE}\\"))


def is_administrator() -> bool:
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    raise Failed("these services are for Windows; nothing was changed")


def start_service(service: Service) -> None:
    """Start it, and return when it answers and Windows says that it runs."""
    deadline = time.monotonic() + BUSY_SECONDS
    while (what := state(service)) not in STARTED:
        status, said = run("sc", "start", service.name)
        if (status and status not in BUSY) or time.monotonic() > deadline:
            if state(service) in STARTED:
                break
            raise Failed(
                f"sc start {service.name}: {said or f'exit status {status}'} (the service was "
                f"{what}); the same command can be run again"
            )
        time.sleep(0.2)
    wait_until_ready(service)
    # NSSM says so when the program has run for 1.5 s.
    what = state_in_time(service, "running")
    if what != "running":
        raise Failed(
            f"{service.name} answers, but to Windows it is {what}; its log, "
            f"{service.last_log}, ends with:\n{tail(service.last_log)}"
        )


def stop_service(service: Service) -> None:
    """Stop it, and return when it and what it has started are gone."""
    deadline = time.monotonic() + STOP_SECONDS
    said = ""
    while True:
        what = state(service)
        if what in ("", "stopped"):
            if is_free(service):
                return
            deadline = min(deadline, time.monotonic() + PORT_SECONDS)
        elif what != "stopping":
            # A service that is busy may not have heard it the first time.
            said = run("sc", "stop", service.name)[1]
        if time.monotonic() > deadline:
            raise Failed(not_gone(service, what, said))
        time.sleep(0.2)


def not_gone(service: Service, what: str, said: str) -> str:
    """Why a service does not count as stopped."""
    if what in ("", "stopped"):
        return (
            f"{service.name} has stopped, but {PORT_SECONDS:g} s later something still listens at "
            f"{service.address}:{service.port}: end it (its number: netstat -ano | findstr "
            f":{service.port}; then: taskkill /F /PID NUMBER), and run this again: it goes on"
        )
    return (
        f"{service.name} is {what} {STOP_SECONDS:g} s after it was told to stop"
        f"{f' (sc stop: {said})' if said else ''}; run this again: it goes on"
    )
