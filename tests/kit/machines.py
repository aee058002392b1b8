"""Several machines on this one: network namespaces with a switch between them, on Linux as root.

A machine has an address, a name, an /etc/hosts and an /etc/ssh/ssh_config of its own, and all the
files of this one. Nothing is changed outside: what is mounted is seen by its own processes only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.kit.waiting import end_of, eventually

NETWORK = "10.77.0"
PROGRAMS = ("ip", "sshd", "ssh", "ssh-keygen", "unshare", "mount")


def missing_for_machines() -> str:
    """Why no machines can be made here, or an empty text."""
    if not sys.platform.startswith("linux"):
        return "platform: only Linux has network namespaces"
    if os.geteuid() != 0:
        return "platform: only root can make network namespaces"
    for name in PROGRAMS:
        if shutil.which(name) is None:
            return f"there is no {name}: apt-get install iproute2 openssh-server openssh-client"
    return ""


# The namespace of mounts and of the host name is made anew for each process started from here;
# those that a sshd starts share its own. /run is empty but for what sshd wants there.
_ENTER = """
set -e
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/ssh_config" /etc/ssh/ssh_config
mount -t tmpfs none /run
mkdir /run/sshd
hostname "$2"
shift 2
exec "$@"
"""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Machine:
    """One of the machines, by its short name."""

    name: str
    space: str
    address: str
    folder: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        enter = ["unshare", "-m", "-u", "sh", "-c", _ENTER, "sh", str(self.folder), self.name]
        return ["ip", "netns", "exec", self.space, *enter, *words]

    def start(self, *words: str, log: Path) -> subprocess.Popen[bytes]:
        """Start a program there; `log` gets what it writes."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._started.append(process)
        return process

    def processes(self) -> dict[int, str]:
        """The command lines of all that runs there."""
        found = {}
        for word in _run("ip", "netns", "pids", self.space).split():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{word}/cmdline").read_bytes().replace(b"\0", b" ")
                if line:  # a zombie has none
                    found[int(word)] = line.decode().strip()
        return found

    def end_all(self) -> None:
        deadline = time.perf_counter() + 20
        while (left := self.processes()) and time.perf_counter() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for process in self._started:
            process.wait(10)
        assert not left


@contextlib.contextmanager
def machines(names: Sequence[str], folder: Path) -> Iterator[dict[str, Machine]]:
    """Machines that reach each other by name, also by ssh, which takes a key of their own."""
    word = f"ws{secrets.token_hex(3)}"
    switch = f"{word}-switch"
    made: dict[str, Machine] = {}
    with contextlib.ExitStack() as stack:
        _space(stack, switch)
        _run("ip", "-n", switch, "link", "add", "lan", "type", "bridge")
        _run("ip", "-n", switch, "link", "set", "lan", "up")
        for i, name in enumerate(names):
            space = f"{word}-{name}"
            _space(stack, space)
            made[name] = Machine(name, space, f"{NETWORK}.{i + 1}", folder)
            stack.callback(made[name].end_all)
            port = f"port{i}"
            _run(
                "ip", "-n", switch, "link", "add", port, "type", "veth",
                "peer", "name", "eth0", "netns", space,
            )  # fmt: skip
            _run("ip", "-n", switch, "link", "set", port, "master", "lan", "up")
            _run("ip", "-n", space, "addr", "add", f"{made[name].address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _run("ip", "-n", space, "link", "set", device, "up")
        lines = [f"{machine.address} {name}" for name, machine in made.items()]
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        _let_ssh_in(made.values(), folder)
        yield made


def _space(stack: contextlib.ExitStack, name: str) -> None:
    _run("ip", "netns", "add", name)
    # With it go its devices, and the peers of these.
    stack.callback(_run, "ip", "netns", "del", name)


def _let_ssh_in(made: Iterable[Machine], folder: Path) -> None:
    key = folder / "key"
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key))
    (folder / "ssh_config").write_text(
        f"IdentityFile {key}\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n"
        "LogLevel ERROR\n"
    )
    (folder / "sshd_config").write_text(
        f"HostKey {key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin yes\nPidFile none\nMaxStartups 100\n"
    )
    sshd = shutil.which("sshd")
    assert sshd is not None
    for machine in made:
        log = folder / f"sshd-{machine.name}.log"
        machine.start(sshd, "-D", "-e", "-f", str(folder / "sshd_config"), log=log)
        eventually(partial(_listens, log), seconds=60, otherwise=end_of(log))


def _listens(log: Path) -> bool:
    return "Server listening" in log.read_text()
