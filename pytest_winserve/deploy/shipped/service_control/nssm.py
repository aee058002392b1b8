"""NSSM: nssm.exe runs any program as a service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .site import HERE, LOG_BYTES, SETTINGS, Failed, Service
from .windows import GRACE_MILLISECONDS, SERVICES, change, run, state

PROGRAM = HERE / "nssm.exe"


def program_of(service: Service) -> Path:
    """What Windows starts as the service."""
    return PROGRAM


def make(service: Service) -> None:
    """Make the service, or bring one that is there to what settings.py says."""
    if not state(service):
        status, said = run(str(PROGRAM), "install", service.name, service.program)
        if not state(service):
            raise Failed(
                f"nssm install {service.name}: {said or f'exit status {status}'}; install.cmd can "
                "be run again"
            )
    _write_parameters(
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
    _set(service, "Start", "SERVICE_AUTO_START")


def set_needs(service: Service, names: list[str]) -> None:
    """Have Windows start those services first, also after a reboot."""
    if names:
        _set(service, "DependOnService", *names)
    else:
        change(service, str(PROGRAM), "reset", service.name, "DependOnService")


def set_account(service: Service, account: str, password: str | None) -> None:
    """Have Windows run it under that account, and let the account log on as a service."""
    words = () if password is None else (password,)
    _set(service, "ObjectName", account, *words, once=bool(words))


def removal(service: Service) -> list[str]:
    """The command that removes it."""
    return [str(PROGRAM), "remove", service.name, "confirm"]


def clean(service: Service) -> None:
    """Nothing was made beside the service."""


def _set(service: Service, *words: str, once: bool = False) -> None:
    change(service, str(PROGRAM), "set", service.name, *words, once=once)


def _write_parameters(name: str, values: dict[str, str | int]) -> None:
    """What `nssm set NAME PARAMETER VALUE` does, in one go: NSSM has them in the registry."""
    if sys.platform == "win32":
        import winreg

        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"{SERVICES}\{name}\Parameters") as key:
            for parameter, value in values.items():
                kind = winreg.REG_DWORD if isinstance(value, int) else winreg.REG_EXPAND_SZ
                winreg.SetValueEx(key, parameter, 0, kind, value)
