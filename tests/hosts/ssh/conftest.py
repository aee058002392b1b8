"""An OpenSSH server of each test's own on 127.0.0.1, with keys and files in a temporary folder."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.ports import ADDRESS, claim_port
from pytest_winserve.system.process_tree import alive, kill
from tests.kit.fixtures import run_folder
from tests.kit.traces import MARK
from tests.kit.waiting import eventually

PRIVILEGES = Path("/run/sshd")
MORTAL = ("setpriv", "--pdeathsig", "TERM")
"""It ends with the tests, also when these are killed."""


@dataclass(slots=True)
class Server:
    """What a test may change is written before `start`: its configuration, `environment` (of what
    it runs), and the client's files."""

    folder: Path
    port: int
    sshd: str
    mark: str
    environment: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The client's configuration, in which the machine is called `there`."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def cache(self) -> Path:
        """What is brought there."""
        return self.folder / "cache"

    def host(self, *more: str, python: str = sys.executable) -> str:
        """The host as in the option."""
        words = [f"//python={python}", f"//ssh_config={self.config}", *more]
        return "ssh:there" + "".join(words)

    def key(self, name: str) -> Path:
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return path

    def prepare(self) -> None:
        host, user = self.key("host_key"), self.key("id")
        shutil.copy(f"{user}.pub", self.folder / "authorized_keys")
        public = Path(f"{host}.pub").read_text("utf-8").split()
        self.known_hosts.write_text(f"[{ADDRESS}]:{self.port} {public[0]} {public[1]}\n", "utf-8")
        lines = [
            "Host there",
            f"HostName {ADDRESS}",
            f"Port {self.port}",
            f"User {getpass.getuser()}",
            f"IdentityFile {user}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.known_hosts}",
        ]
        self.config.write_text("\n".join(lines) + "\n", "utf-8")

    def start(self) -> None:
        given = {MARK: self.mark, "XDG_CACHE_HOME": str(self.cache), **self.environment}
        lines = [
            f"Port {self.port}",
            f"ListenAddress {ADDRESS}",
            f"HostKey {self.folder}/host_key",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PidFile {self.folder}/pid",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication yes",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in given.items()),
            *self.lines,
        ]
        configuration = self.folder / "sshd_config"
        configuration.write_text("\n".join(lines) + "\n", "utf-8")
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*MORTAL, *self.prefix, self.sshd, "-D", "-e", "-f", str(configuration)],
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text("utf-8")
        with socket.socket() as sock:
            return sock.connect_ex((ADDRESS, self.port)) == 0

    def processes(self) -> list[psutil.Process]:
        """What it runs for the client, and its connections: all but the one that listens."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in children if alive(each)]

    def running(self, module: str) -> list[psutil.Process]:
        """Those of them that run a module of Python."""
        found = []
        for each in self.processes():
            with suppress(psutil.NoSuchProcess):
                if module in each.cmdline():
                    found.append(each)
        return found

    def stop(self) -> None:
        if self.process is None:
            return
        kill([*self.processes(), psutil.Process(self.process.pid)])
        self.process.wait()
        self.process = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that is not started yet."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    assert sshd is not None  # see the need `ssh`
    if sys.platform != "win32" and os.geteuid() == 0:
        PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
    claim = claim_port()
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    server = Server(folder, claim.number, sshd, os.urandom(8).hex())
    server.prepare()
    # Locks are those of all tests, the rest of the temporary files the test's own.
    temp = tmp_path / "temp"
    temp.mkdir()
    (temp / shared_folder().name).symlink_to(shared_folder(), True)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(temp))
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    yield server
    try:
        if server.process is not None:
            eventually(lambda: not server.processes())
    finally:
        server.stop()
        claim.release()


@pytest.fixture
def there(server: Server) -> Server:
    """A server that runs, on a machine that has what this one has."""
    server.start()
    return server


@pytest.fixture
def packages_there(there: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A machine that has the packages already which another test of this run had brought, if one
    did: pip takes ten seconds to get them. Without this package."""
    kept = run_folder(tmp_path_factory) / "packages-brought"
    brought = there.cache / "pytest-winserve" / "host"
    if kept.is_dir():
        shutil.copytree(kept, brought, copy_function=os.link)
    yield
    if not kept.is_dir():
        with suppress(OSError):  # another worker may be first
            shutil.copytree(
                brought, brought.with_name("kept"), copy_function=os.link,
                ignore=shutil.ignore_patterns("app-*", "package-*", "__pycache__"),
            )  # fmt: skip
            brought.with_name("kept").rename(kept)


@pytest.fixture
def bare(server: Server, tmp_path: Path) -> str:
    """The command of a Python over there that has no packages."""
    import venv

    venv.create(tmp_path / "bare", symlinks=True)
    return shlex.quote(str(tmp_path / "bare" / "bin" / "python"))
