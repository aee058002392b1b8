"""The commands: what each batch file does."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .site import (
    LOGS,
    SETTINGS,
    Failed,
    Service,
    answer,
    backends,
    fronts,
    is_free,
    is_good,
    tail,
    wait_until_ready,
)
from .windows import (
    GRACE_MILLISECONDS,
    change,
    command_of,
    is_administrator,
    is_ours,
    run,
    start_service,
    state,
    state_in_time,
    stop_service,
)
from .wrapper import Wrapper, get_wrapper

WITHOUT_PASSWORD = ("LocalSystem", "NT AUTHORITY\\", "NT SERVICE\\")
"""The beginnings of Windows' own accounts."""


def usable_wrapper() -> Wrapper:
    """What makes the services. Raises Failed unless it is there and this user may change services.
    Nothing has been changed then."""
    if not is_administrator():
        raise Failed(
            "administrator's rights are needed, and nothing was changed: right-click Command "
            'Prompt, "Run as administrator", and run this again there'
        )
    wrapper = get_wrapper()
    if not wrapper.PROGRAM.is_file():
        raise Failed(f"there is no {wrapper.PROGRAM}, and nothing was changed: put it there")
    return wrapper


def check_before_install(wrapper: Wrapper, services: list[Service]) -> None:
    """Raise Failed for what keeps them from being installed. Nothing has been changed then."""
    for service in services:
        if state(service):
            if not is_ours(service):
                raise Failed(
                    f"there is a service {service.name} already, of another folder, and nothing "
                    "was changed: uninstall that one there, or give this one another NAME in "
                    "settings.py"
                )
            program = wrapper.program_of(service)
            if not command_of(service).startswith(os.path.normcase(program)):
                raise Failed(
                    f"{service.name} is there already, and not by {program.name}, and nothing was "
                    "changed: run uninstall.cmd, then this again"
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


def install() -> int:
    wrapper = usable_wrapper()
    services = backends() + fronts()
    check_before_install(wrapper, services)
    LOGS.mkdir(exist_ok=True)
    for service in services:
        wrapper.make(service)
        set_needs(wrapper, service)
        set_account(wrapper, service)
        print(f"{service.name}: installed")
    return start()


def set_needs(wrapper: Wrapper, service: Service) -> None:
    if service.needs:
        wrapper.set_needs(service, service.needs)


def set_account(wrapper: Wrapper, service: Service) -> None:
    account = SETTINGS["ACCOUNT"] or WITHOUT_PASSWORD[0]
    if account.startswith(WITHOUT_PASSWORD):
        wrapper.set_account(service, account, None)
    else:
        password = getpass.getpass(f"Password of {account} (it is given to Windows only): ")
        wrapper.set_account(service, account, password)


def start() -> int:
    wrapper = usable_wrapper()
    for service in backends() + fronts():
        if not state(service):
            raise Failed(f"there is no service {service.name}: run install.cmd")
        set_needs(wrapper, service)
    for service in backends() + fronts():
        start_service(service)
        print(f"{service.name}: running, answers at {service.address}:{service.port}")
    return 0


def stop() -> int:
    usable_wrapper()
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
    wrapper = usable_wrapper()
    there = [service for service in fronts() + backends() if state(service)]
    others = [service.name for service in there if not is_ours(service)]
    if others:
        raise Failed(f"{', '.join(others)}: of another folder, and nothing was changed")
    stop()
    for service in there:
        remove(wrapper, service)
        print(f"{service.name}: removed")
    return 0


def remove(wrapper: Wrapper, service: Service) -> None:
    """Remove it, and return when Windows does not know it any more."""
    try:
        change(service, *wrapper.removal(service))
    except Failed:
        if state(service):
            raise
    if state_in_time(service, ""):
        raise Failed(
            f"{service.name} is marked for removal, and Windows removes it when no program "
            "looks at it any more: close services.msc and the Task Manager, and run this again"
        )
    wrapper.clean(service)


def upgrade() -> int:
    """Restart one backend after the other, while the front sends requests to those that run."""
    wrapper = usable_wrapper()
    known = backends()
    with without_needs(wrapper):
        for number, service in enumerate(known, 1):
            if number > 1:
                # The front asks the one before again only then.
                time.sleep(SETTINGS["PAUSE_SECONDS"])
            stop_service(service)
            start_service(service)
            print(f"{service.name}: restarted ({number} of {len(known)}), and answers")
    return 0


@contextmanager
def without_needs(wrapper: Wrapper) -> Iterator[None]:
    """Windows refuses to stop what a running service needs. So nothing is needed meanwhile."""
    for front in fronts():
        wrapper.set_needs(front, [])
    try:
        yield
    finally:
        for front in fronts():
            set_needs(wrapper, front)


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
                        f"with:\n{tail(service.last_log)}"
                    )
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        for _, process in reversed(started):
            end(process)
    return 0


def launch(service: Service) -> subprocess.Popen[bytes]:
    with service.log.open("ab") as log:
        return subprocess.Popen(
            [service.program, *service.arguments], cwd=service.folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip


def end(process: subprocess.Popen[bytes]) -> None:
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


COMMANDS: dict[str, Callable[[], int]] = {
    "install": install, "start": start, "stop": stop, "status": status, "uninstall": uninstall,
    "upgrade": upgrade, "run": by_hand,
}  # fmt: skip


def main() -> int:
    try:
        return COMMANDS[sys.argv[1]]()
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command can be run again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
