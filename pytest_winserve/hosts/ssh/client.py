"""OpenSSH's client: how it is called, and what its complaints mean."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.remote.machine import Failure
from pytest_winserve.remote.relay import relay
from pytest_winserve.system.lab_folder import LabFolder
from pytest_winserve.system.ports import ADDRESS, claim_port
from pytest_winserve.system.program import tail

GET_SSH = "sudo apt-get install openssh-client   (elsewhere: OpenSSH's client of the system)"
CONNECT_SECONDS = 10
OPTIONS = (
    "BatchMode=yes",  # it never asks: nobody could answer
    f"ConnectTimeout={CONNECT_SECONDS}",
    "ServerAliveInterval=5",  # a connection that was cut is noticed after 15 s
    "ServerAliveCountMax=3",
    "ControlPath=none",  # a connection of its own, which ends with it
    "ExitOnForwardFailure=yes",
    "RemoteCommand=none",
    "LogLevel=ERROR",
)
KNOWN_ONLY = "StrictHostKeyChecking=yes"
NO_WINDOW = ("env", "SSH_ASKPASS_REQUIRE=never")
"""What a jump host wants to know is not covered by `BatchMode`: ssh would ask in a window."""
PYTHONS = ("python3", "python", "py")
"""What a Python may be called. On Windows python3 may be the Store's, which is none, and py is its
launcher."""
CANNOT_REACH = (
    "Connection refused", "timed out", "No route to host", "Could not resolve hostname",
    "Network is unreachable", "Connection closed", "Connection reset",
)  # fmt: skip
NOT_FOUND = ("not found", "not recognized", "No such file", "was not found", "CommandNotFound")
FORWARD_TRIES = 5
WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Destination:
    """A machine as ssh knows it, and what it is asked there. `name` is what the option had.

    `python` is a command of the shell over there, `chdir` a folder there, `ssh_config` a file of
    ssh's options here; None where nothing was given.
    """

    name: str
    address: str
    python: str | None = None
    chdir: str | None = None
    ssh_config: str | None = None
    options: tuple[str, ...] = (KNOWN_ONLY,)

    @classmethod
    def parse(cls, kind: str, text: str) -> Destination:
        """Of `DESTINATION[//python=...][//chdir=...][//ssh_config=...]`. UsageError says what is
        wrong."""
        whole = f"{kind}:{text}"
        address, *rest = re.split(r"//(?=\w+=)", text)
        given: dict[str, str] = {}
        for part in rest:
            key, _, value = part.partition("=")
            if key not in ("python", "chdir", "ssh_config") or not value:
                raise UsageError(
                    f"{whole}: //{part} is none of //python=COMMAND, //chdir=FOLDER and "
                    "//ssh_config=FILE"
                )
            given[key] = value
        check_address(whole, address)
        if '"' in given.get("python", "") and sys.platform == "win32":
            raise UsageError(f"{whole}: quotes cannot be passed on to ssh on Windows")
        file = given.get("ssh_config")
        if file is not None and not Path(file).expanduser().is_file():
            raise UsageError(f"{whole}: there is no file {file}")
        return cls(whole, address, given.get("python"), given.get("chdir"), file)

    def command(self, line: str, *options: str) -> list[str]:
        """The command that runs a line in the shell over there."""
        words = [*NO_WINDOW, find_ssh(), "-T", "-a", "-x"]
        if self.ssh_config is not None:
            words += ["-F", str(Path(self.ssh_config).expanduser())]
        for option in (*self.options, *OPTIONS):
            words += ["-o", option]
        return [*words, *options, "--", self.address, line]

    def lines(self, code: str) -> Iterator[str]:
        """Lines that run Python code over there, to be tried in turn.

        In double quotes, which sh, cmd.exe and PowerShell all take, as long as nothing in the code
        means something to one of them.
        """
        assert not set(code) & set('"$`\\%!\n')
        for python in PYTHONS if self.python is None else (self.python,):
            yield f'{python} -u -c "{code}"'

    def explained(self, said: str) -> Failure:
        """What ssh's complaint, or that of the shell over there, stands for."""
        why, mend = "its Python does not start", f"see what `ssh {self.address}` says"
        missing = False
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
            why = "its host key is not the one that is known: another machine, or set up anew"
        elif "Host key verification failed" in said or "host key is known" in said:
            why = "its host key is not known here"
            mend = f"`ssh {self.address}` once, and compare the key that it shows"
        elif "Permission denied" in said:
            why = "it wants a password or another key, and the lab never asks for one"
            mend = f"ssh-copy-id {self.address}; for a key with a passphrase: ssh-add"
        elif any(each in said for each in CANNOT_REACH):
            why = "it cannot be reached"
        elif any(each in said for each in NOT_FOUND):
            missing = True
            why = "the shell over there finds no Python"
            mend = f"install Python 3.11 or later there, or name it: {self.name}//python=COMMAND"
        return Failure(f"{why}\n  it says: {said}", mend, missing)


def check_address(whole: str, address: str) -> None:
    """Raise UsageError for what ssh would take for something else than a machine."""
    if not address:
        raise UsageError(f"{whole}: name the machine, as for ssh: ssh:USER@HOST")
    if address.startswith("-") or re.search(r"[\s\x00-\x1f]", address):
        raise UsageError(f"{whole}: {address!r} is no machine as ssh knows it, such as USER@HOST")


def find_ssh() -> str:
    """The program ssh. Raises MissingComponent."""
    found = shutil.which("ssh")
    if found is None:
        raise MissingComponent("ssh", "there is no program `ssh` on the PATH", GET_SSH)
    return found


def version() -> str:
    """What the client calls itself, such as OpenSSH_9.2p1. Raises MissingComponent."""
    done = subprocess.run([find_ssh(), "-V"], capture_output=True, text=True, check=False)
    return (done.stderr or done.stdout).partition(",")[0].strip()


class Forward:
    """A port of this machine that leads to one over there, for as long as it is not closed.

    It ends with this process too: with its input ends what it runs over there, and so does ssh.
    """

    def __init__(self, destination: Destination, line: str, port: int) -> None:
        for attempt in range(FORWARD_TRIES):
            self._claim = claim_port()
            self.address = (ADDRESS, self._claim.number)
            try:
                self._open(destination, line, port)
            except StartError as error:
                self.close()
                taken = "cannot listen" in str(error) or "Address already in use" in str(error)
                if not taken or attempt == FORWARD_TRIES - 1:
                    raise
            else:
                return

    def _open(self, destination: Destination, line: str, port: int) -> None:
        way = f"{ADDRESS}:{self._claim.number}:{ADDRESS}:{port}"
        self._files = LabFolder.make("host-")
        self._log = self._files.path / "log"
        self._process = subprocess.Popen(
            relay(Path.cwd(), self._log, destination.command(line, "-L", way)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")  # the relay tells of an end after a beginning
        self._process.stdin.flush()
        said: list[bytes] = []
        reader = threading.Thread(
            target=lambda stream: said.append(stream.read(1)), args=(self._process.stdout,)
        )
        # What runs over there is started when the port is forwarded, and says so at once.
        reader.daemon = True
        reader.start()
        reader.join(WAIT_SECONDS)
        if said != [b"1"]:
            why = tail(self._log).strip() or f"ssh said nothing for {WAIT_SECONDS:g} s"
            raise StartError(f"port {port} of {destination.name} cannot be forwarded: {why}")

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._files.remove()
        self._claim.release()


UP = "import sys;sys.stdout.write('1');sys.stdout.flush();sys.stdin.read()"
"""Says that it runs, and ends with its input."""
