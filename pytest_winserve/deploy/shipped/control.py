"""Installs, starts, stops and looks at the services that settings.py describes.

The .cmd files run it: `python control.py install`. Every one of its commands can be interrupted and
run again.
"""

import contextlib
import http.client
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
SETTINGS = runpy.run_path(str(HERE / "settings.py"))
NSSM = HERE / "nssm.exe"
LOGS = HERE / "logs"
STATES = {1: "stopped", 2: "starting", 3: "stopping", 4: "running", 7: "paused"}
"""By Windows' numbers. NSSM pauses a service whose program ends at once, again and again."""
MAY_CONNECT, MAY_ASK, NO_SUCH_SERVICE = 0x1, 0x4, 1060
STARTED = ("running", "starting", "paused")
TOO_LONG = 1460
"""What `run` gives as the status of a command that did not end: Windows' number for that."""
BUSY = (1, 1053, 1055, TOO_LONG)
"""How `sc` ends when Windows' service manager did not get to it in time; 1 is Wine's."""
COMMAND_SECONDS = 120.0
"""How long `sc` and NSSM may take."""
BUSY_SECONDS = 60.0
"""How long what Windows or NSSM refuses is asked again: on a busy machine they refuse what is
right, such as a change of a service that is there."""
STOP_SECONDS = 300.0
"""Many times GRACE_MILLISECONDS, for a machine that is busy."""
PORT_SECONDS = 90.0
"""How long after its service has stopped a port may be taken."""
GRACE_MILLISECONDS = 20_000
"""How long a program may take to end by itself when it is asked to; then it is killed."""
LOG_BYTES = 10 * 1024 * 1024
BUILT_IN = ("LocalSystem", "NT AUTHORITY\\", "NT SERVICE\\")
"""Accounts of Windows' own, which have no password."""


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
        return LOGS / f"{self.name}.log"


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


# -- readiness -----------------------------------------------------------------------------------


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


def wait_until_ready(service: Service, process: "subprocess.Popen[bytes] | None" = None) -> None:
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
                f"READY_SECONDS in settings.py). Its log, {service.log}, ends with:\n"
                f"{tail(service.log)}"
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


# -- Windows' services, by NSSM ------------------------------------------------------------------


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
        output.seek(0)
        said = output.read().replace(b"\0", b"")
    return done.returncode, said.decode("utf-8", "replace").strip()


def nssm(verb: str, service: Service, *words: str) -> None:
    """Have NSSM change a service that is there."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        status, said = run(str(NSSM), verb, service.name, *words)
        if not status:
            return
        what = state(service)
        if not what or "ObjectName" in words or time.monotonic() > deadline:  # no password twice
            raise Failed(
                f"nssm {verb} {service.name} {words[0]}: {said or f'exit status {status}'} (to "
                f"Windows the service is {what or 'not installed'}); the same command can be run "
                "again"
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


def is_ours(service: Service) -> bool:
    """Whether the service that has this name is of this folder, or was interrupted on its way."""
    parameters = read_parameters(service.name)
    folder = parameters.get("AppDirectory", "")
    if "AppStdout" not in parameters:  # what is written last but for numbers
        return "Application" in parameters
    return os.path.normcase(str(folder).rstrip("\\")) == os.path.normcase(str(service.folder))


def is_administrator() -> bool:
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    raise Failed("these services are for Windows; nothing was changed")


def check_rights() -> None:
    """Raise Failed unless this user may change services. Nothing has been changed then."""
    if not is_administrator():
        raise Failed(
            "administrator's rights are needed, and nothing was changed: right-click Command "
            'Prompt, "Run as administrator", and run this again there'
        )
    if not NSSM.is_file():
        raise Failed(f"there is no {NSSM}, and nothing was changed: put NSSM's nssm.exe there")


def check_before_install(services: list[Service]) -> None:
    """Raise Failed for what keeps them from being installed. Nothing has been changed then."""
    for service in services:
        if state(service):
            if not is_ours(service):
                raise Failed(
                    f"there is a service {service.name} already, of another folder, and nothing "
                    "was changed: uninstall that one there, or give this one another NAME in "
                    "settings.py"
                )
        elif not is_free(service):
            raise Failed(
                f"{service.address}:{service.port} is taken, and nothing was changed: end what "
                f"listens there (netstat -ano | findstr :{service.port}), or deploy with another "
                "--port"
            )
    for path in [SETTINGS["PYTHON"], SETTINGS["APP_FOLDER"], *SETTINGS["ENVIRONMENT_FILES"]]:
        if not Path(path).exists():
            raise Failed(f"there is no {path}, which settings.py names; nothing was changed")


def configure(service: Service) -> None:
    """Make the service, or bring one that is there to what settings.py says."""
    if not state(service):
        status, said = run(str(NSSM), "install", service.name, service.program)
        if not state(service):
            raise Failed(
                f"nssm install {service.name}: {said or f'exit status {status}'}; install.cmd can "
                "be run again"
            )
    write_parameters(
        service.name,
        {
            "AppDirectory": str(service.folder),
            "Application": service.program,
            "AppParameters": subprocess.list2cmdline(service.arguments),
            "AppRestartDelay": SETTINGS["RESTART_MILLISECONDS"],
            "AppStopMethodConsole": GRACE_MILLISECONDS,
            "AppStdout": str(service.log),
            "AppStderr": str(service.log),
            "AppRotateFiles": 1,
            "AppRotateOnline": 1,
            "AppRotateBytes": LOG_BYTES,
            # NSSM takes this number, in ms, for the size in 4 GiB from which it rotates at a start
            # (`rotate_file` of its io.cpp gets its arguments in another order): with 0, each start
            # would leave a file. The size in bytes counts while the program runs.
            "AppRotateDelay": 1,
        },
    )
    nssm("set", service, "Start", "SERVICE_AUTO_START")
    depend(service)
    account = SETTINGS["ACCOUNT"]
    if account.startswith(BUILT_IN):
        nssm("set", service, "ObjectName", account)
    elif account:
        import getpass

        password = getpass.getpass(f"Password of {account} (it is given to Windows only): ")
        nssm("set", service, "ObjectName", account, password)


def read_parameters(name: str) -> dict[str, str | int]:
    """What NSSM runs by that name; empty where the service is none of NSSM's."""
    found: dict[str, str | int] = {}
    if sys.platform == "win32":
        import winreg

        with (
            contextlib.suppress(FileNotFoundError),
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, parameters_of(name)) as key,
        ):
            for number in range(winreg.QueryInfoKey(key)[1]):
                parameter, value, _ = winreg.EnumValue(key, number)
                found[parameter] = value
    return found


def parameters_of(name: str) -> str:
    return rf"SYSTEM\CurrentControlSet\Services\{name}\Parameters"


def write_parameters(name: str, values: dict[str, str | int]) -> None:
    """What `nssm set NAME PARAMETER VALUE` does, in one go: NSSM has them in the registry."""
    if sys.platform == "win32":
        import winreg

        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, parameters_of(name)) as key:
            for parameter, value in values.items():
                kind = winreg.REG_DWORD if isinstance(value, int) else winreg.REG_EXPAND_SZ
                winreg.SetValueEx(key, parameter, 0, kind, value)


def depend(service: Service) -> None:
    """Have Windows start what it needs first, also after a reboot."""
    if service.needs:
        nssm("set", service, "DependOnService", *service.needs)


def start_service(service: Service) -> None:
    """Start it, and return when it answers."""
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


# -- the commands --------------------------------------------------------------------------------


def install() -> int:
    check_rights()
    services = backends() + fronts()
    check_before_install(services)
    LOGS.mkdir(exist_ok=True)
    for service in services:
        configure(service)
        print(f"{service.name}: installed")
    return start()


def start() -> int:
    check_rights()
    for service in backends() + fronts():
        if not state(service):
            raise Failed(f"there is no service {service.name}: run install.cmd")
        depend(service)
    for service in backends() + fronts():
        start_service(service)
        print(f"{service.name}: running, answers at {service.address}:{service.port}")
    return 0


def stop() -> int:
    check_rights()
    for service in fronts() + backends():  # first what clients reach
        if state(service):
            stop_service(service)
            print(f"{service.name}: stopped")
    return 0


def status() -> int:
    good = True
    for service in backends() + fronts():
        what = state(service)
        told = answer(service) if what else ""
        good = good and what == "running" and is_good(told)
        said = f"answers with {told}" if told else "does not answer"
        print(
            f"{service.name}: {what or 'not installed'}; {said} ({service.address}:{service.port})"
        )
    return 0 if good else 1


def uninstall() -> int:
    check_rights()
    others = [each.name for each in backends() + fronts() if state(each) and not is_ours(each)]
    if others:
        raise Failed(f"{', '.join(others)}: of another folder, and nothing was changed")
    stop()
    for service in fronts() + backends():
        if state(service):
            remove(service)
            print(f"{service.name}: removed")
    return 0


def remove(service: Service) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while state(service):
        status, said = run(str(NSSM), "remove", service.name, "confirm")
        if not status:
            return
        if time.monotonic() > deadline:
            raise Failed(
                f"nssm remove {service.name}: {said or f'exit status {status}'}; uninstall.cmd can "
                "be run again"
            )
        time.sleep(1)


def upgrade() -> int:
    """Restart one backend after the other, while the front sends requests to those that run."""
    check_rights()
    known = backends()
    with without_dependencies():
        for number, service in enumerate(known, 1):
            if number > 1:
                # The front asks the one before again only then.
                time.sleep(SETTINGS["PAUSE_SECONDS"])
            stop_service(service)
            start_service(service)
            print(f"{service.name}: restarted ({number} of {len(known)}), and answers")
    return 0


@contextlib.contextmanager
def without_dependencies() -> Iterator[None]:
    """Windows refuses to stop what a running service needs. So nothing is needed meanwhile."""
    for front in fronts():
        nssm("reset", front, "DependOnService")
    try:
        yield
    finally:
        for front in fronts():
            depend(front)


def by_hand() -> int:
    """Run all of it in this console, without services, until Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    LOGS.mkdir(exist_ok=True)
    for service in backends() + fronts():
        if not is_free(service):
            raise Failed(f"{service.address}:{service.port} is taken; nothing was started")
    started: list[tuple[Service, subprocess.Popen[bytes]]] = []
    try:
        for services in (backends(), fronts()):
            started += [(service, launch(service)) for service in services]
            for service, process in started:
                wait_until_ready(service, process)
        print(f"all of it answers; Ctrl-C ends it (logs: {LOGS})", flush=True)
        while True:
            for service, process in started:
                if process.poll() is not None:
                    raise Failed(
                        f"{service.name} ended with exit status {process.returncode}; its log ends "
                        f"with:\n{tail(service.log)}"
                    )
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        for _, process in reversed(started):
            end(process)
    return 0


def launch(service: Service) -> "subprocess.Popen[bytes]":
    with service.log.open("ab") as log:
        return subprocess.Popen(
            [service.program, *service.arguments], cwd=service.folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and what it has started."""
    if sys.platform == "win32":
        run("taskkill", "/T", "/F", "/PID", str(process.pid))
    else:
        process.terminate()
    try:
        process.wait(GRACE_MILLISECONDS / 1000)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


COMMANDS: dict[str, Any] = {
    "install": install, "start": start, "stop": stop, "status": status, "uninstall": uninstall,
    "upgrade": upgrade, "run": by_hand,
}  # fmt: skip


def main() -> int:
    try:
        code: int = COMMANDS[sys.argv[1]]()
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command can be run again", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
