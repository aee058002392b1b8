"""What several files need: a client that sees how a connection ends, locks, the command."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.deployment.processes import Processes

SLOW = "/sleep?seconds=0.4"
FLASK_COMMAND = (
    f"{subprocess.list2cmdline([sys.executable])} -m flask "
    "--app pytest_winserve.sample_app run --port {port}"
)
WAIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a raw connection brought, and how it ended: `end`, `reset` or `timeout`."""

    data: bytes
    ended: str

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def raw_body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def body(self) -> bytes:
        """The body without the frame of its chunks; as far as it came."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.raw_body
        body, rest = b"", self.raw_body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body


def exchange(port: int, path: str, timeout: float = WAIT_SECONDS) -> Reply:
    """GET `path` on a connection of its own, read until it ends."""

    async def ask() -> Reply:
        # Not recv(), which Wine has return the end for a reset that came before it was called.
        async with asyncio.timeout(WAIT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii"))
        data = b""
        try:
            while part := await asyncio.wait_for(reader.read(65536), timeout):
                data += part
        except ConnectionResetError:
            return Reply(data, "reset")
        except TimeoutError:
            return Reply(data, "timeout")
        finally:
            writer.close()
        return Reply(data, "end")

    return asyncio.run(ask())


def folder_of(site: Site) -> Path:
    """Where the files of a site on this machine are."""
    assert isinstance(site.deployment, Processes)
    return site.deployment._folder


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`; fails when there is none for a long time."""
    deadline = time.perf_counter() + WAIT_SECONDS
    while not (value := condition()):
        assert time.perf_counter() < deadline, f"{condition} never came true"
        time.sleep(0.01)
    return value


def run_winserve(
    *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The installed command, in a process of its own, without settings from the environment."""
    return subprocess.run(
        winserve_command(*arguments),
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=cwd,
        env=clean_environment() | environment,
    )


def winserve_command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from pytest_winserve.cli import main; main()", *arguments]


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change a run inside of a test."""
    dropped = ("WINSERVE_", "PYTEST_", "COLUMNS")
    return {k: v for k, v in os.environ.items() if not k.startswith(dropped)}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("WINSERVE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks that no other run on this machine takes, also for the processes of this test."""
    folder = tmp_path / "locks"
    folder.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
