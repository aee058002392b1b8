"""A machine of Vagrant for real: a Debian made here, emulated by QEMU, in a network of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_winserve.shipping.wheels import pip, requirements
from tests.kit.commands import Done, Started, clean_environment, command_line

HERE = Path(__file__).parent
TOOLS = ("vagrant", "virsh", "mmdebstrap", "qemu-img", "mkfs.ext4", "unshare", "nsenter")
BOX_SECONDS, COMMAND_SECONDS = 900.0, 1500.0


@dataclass
class Inside:
    """What runs in the network that the machines are in. It has no other network."""

    folder: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, **more: str) -> Done:
        done = subprocess.run(
            self._words(command),
            cwd=self.folder / "work",
            env=self._environment(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def winserve(self, *arguments: str, **more: str) -> Done:
        return self.run(*command_line("winserve", *arguments), **more)

    def start(self, *command: str) -> Started:
        """A command that runs on, as this very process: not in one of a shell."""
        output = self.folder / f"output-{secrets.token_hex(4)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self._words(command), cwd=self.folder / "work", env=self._environment({}),
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        return Started(process, output)

    def domains(self, *options: str) -> list[str]:
        """libvirt's names of the machines that there are."""
        return self.run("virsh", "-q", "list", "--name", *options).out.split()

    def _words(self, command: tuple[str, ...]) -> list[str]:
        into = ["nsenter", f"--target={self.process.pid}", "--net", "--mount", "--wd=."]
        return [*into, *command]

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return clean_environment() | self.environment | more


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the box."""
    if sys.platform == "win32":
        pytest.skip("platform: libvirt is for Linux")
    missing = [tool for tool in TOOLS if shutil.which(tool, path=_path()) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("platform: only root can make a network of its own")
    made = os.environ.get("WINSERVE_TEST_BOX")
    if made:
        return Path(made)
    folder = tmp_path_factory.mktemp("box")
    subprocess.run(
        ["sh", str(HERE / "make_box.sh"), str(folder)],
        env=os.environ | {"PATH": _path()}, check=True, timeout=BOX_SECONDS,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip would get for the guest, whose Python and processor are like the ones here."""
    from packaging.markers import default_environment

    folder = tmp_path_factory.mktemp("wheels")
    markers = {key: str(value) for key, value in default_environment().items()}
    wanted = sorted(requirements(markers))
    pip("download", "--only-binary=:all:", "--dest", str(folder), *wanted, lock=None)
    return folder


@pytest.fixture(scope="session")
def inside(box: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("inside")
    (folder / "work").mkdir()
    process = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", str(HERE / "enter.sh"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PATH": _path()},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield Inside(folder, process, {
            "PATH": _path(),
            "VAGRANT_HOME": str(folder / "vagrant"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "WINSERVE_GUEST": "linux",
            "WINSERVE_BOX": "lab",
            "WINSERVE_BOX_URL": str(box / "lab.box"),
            "WINSERVE_PROVIDER": "libvirt",
            "WINSERVE_MEMORY": "1024",
            "WINSERVE_CPUS": "1",  # more of them cost more to emulate than they give
        })  # fmt: skip
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
