"""WinSW: a copy of winsw.exe for each service, with an XML file of the same name beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from .site import HERE, LOG_BYTES, LOGS, SETTINGS, Failed, Service
from .windows import GRACE_MILLISECONDS, change, run, state

PROGRAM = HERE / "winsw.exe"
KEPT_LOGS = 8
ABOUT = " Written by install.cmd, from settings.py. "


def program_of(service: Service) -> Path:
    """What Windows starts as the service."""
    return HERE / f"{service.name}.exe"


def make(service: Service) -> None:
    """Make the service, or bring one that is there to what settings.py says."""
    copy = program_of(service)
    if not copy.exists():  # one that runs cannot be written over
        shutil.copyfile(PROGRAM, copy)
    copy.with_suffix(".xml").write_text(described(service), "utf-8")
    if not state(service):
        status, said = run(str(copy), "install")
        if not state(service):
            raise Failed(
                f"{copy.name} install: {said or f'exit status {status}'}; install.cmd can be run "
                "again"
            )


def described(service: Service) -> str:
    """The XML file. The elements are those of "XML configuration file" and "Logging and error
    reporting" in WinSW's documentation. It is read at each start of the service."""
    root = ElementTree.Element("service")
    root.append(ElementTree.Comment(ABOUT))
    for name, text in {
        "id": service.name,
        "name": service.name,
        "description": f"{Path(service.program).name}, installed from {HERE}",
        "executable": service.program,
        "arguments": subprocess.list2cmdline(service.arguments),
        "workingdirectory": str(service.folder),
        "startmode": "Automatic",
        "stoptimeout": f"{GRACE_MILLISECONDS // 1000} sec",
        "logpath": str(LOGS),
    }.items():
        ElementTree.SubElement(root, name).text = text
    for needed in service.needs:
        ElementTree.SubElement(root, "depend").text = needed
    log = ElementTree.SubElement(root, "log", mode="roll-by-size")
    ElementTree.SubElement(log, "sizeThreshold").text = str(LOG_BYTES // 1024)
    ElementTree.SubElement(log, "keepFiles").text = str(KEPT_LOGS)
    seconds = max(1, SETTINGS["RESTART_MILLISECONDS"] // 1000)
    ElementTree.SubElement(root, "onfailure", action="restart", delay=f"{seconds} sec")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def set_needs(service: Service, names: list[str]) -> None:
    """Have Windows start those services first, also after a reboot."""
    change(service, "sc", "config", service.name, "depend=", "/".join(names) or "/")


def set_account(service: Service, account: str, password: str | None) -> None:
    """Have Windows run it under that account, which must have the right to log on as a service."""
    words = "obj=", account, "password=", password or ""
    change(service, "sc", "config", service.name, *words, once=password is not None)


def removal(service: Service) -> list[str]:
    """The command that removes it."""
    return ["sc", "delete", service.name]


def clean(service: Service) -> None:
    """Take away what was made beside the service."""
    for path in (program_of(service), program_of(service).with_suffix(".xml")):
        path.unlink(missing_ok=True)
