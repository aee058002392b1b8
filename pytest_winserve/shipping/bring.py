"""Brings this package, what it needs and the app's folder to a machine behind a gateway.

Wheels for the Python over there are got from PyPI on this side, so nothing but a Python is needed
over there, and no network.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.errors import StartError, UsageError
from pytest_winserve.shipping.archive import pack
from pytest_winserve.shipping.contents import copy_to, fingerprint
from pytest_winserve.shipping.platforms import wheel_platforms
from pytest_winserve.shipping.wheels import install, requirements

if TYPE_CHECKING:
    import execnet

PIECE = 1 << 20
MOST_BYTES = 50_000_000
LEFT_OUT = ("__pycache__", "node_modules")


@dataclass(frozen=True, slots=True)
class Python:
    """A Python over there: what dependency markers and wheels must know of it; see `Arrival.look`.
    `base` is where parts are brought to."""

    base: str
    platform: str
    libc: tuple[str, str]
    markers: dict[str, str]

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(map(int, self.markers["python_version"].split(".")))

    def platforms(self) -> list[str]:
        """The platforms whose wheels it takes, best first. UsageError for one that is not known."""
        return wheel_platforms(self.platform, self.libc)


class Arriving:
    """Calls to what runs over there before this package does; see
    `pytest_winserve.shipping.arrival`."""

    def __init__(self, gateway: execnet.Gateway) -> None:
        from pytest_winserve.shipping import arrival

        self._channel = gateway.remote_exec(arrival)

    def __call__(self, name: str, *arguments: Any, file: Path | None = None) -> Any:
        """The value of a call, with a file after it if there is one. Raises StartError with what
        went wrong over there."""
        self._channel.send((name, arguments))
        if file is not None:
            with file.open("rb") as data:
                while piece := data.read(PIECE):
                    self._channel.send(piece)
            self._channel.send(b"")
        try:
            value, problem = self._channel.receive()
        except self._channel.RemoteError as error:
            raise StartError(f"the Python over there cannot do it: {error}") from None
        if problem:
            raise StartError(problem)
        return value

    def close(self) -> None:
        self._channel.close()

    def python(self) -> Python:
        """Which Python it is."""
        seen = self("look")
        return Python(seen["base"], seen["platform"], tuple(seen["libc"]), seen["markers"])

    def bring(self, name: str, fill: Callable[[Path], object]) -> int:
        """Have a part over there; `fill` makes it in a folder here. How many bytes were sent."""
        if self("has", name):
            return 0
        with tempfile.TemporaryDirectory() as temp:
            folder, archive = Path(temp) / "part", Path(temp) / "part.zip"
            folder.mkdir()
            fill(folder)
            pack(folder, archive)
            try:
                self("take", name, file=archive)
            except StartError as error:
                raise StartError(f"cannot bring {name}: {error}") from None
            return archive.stat().st_size


def parts(python: Python) -> dict[str, Callable[[Path], object]]:
    """What a Python over there needs for this package, by name: what makes it."""
    wanted = sorted(requirements(python.markers))
    key = json.dumps([python.platform, python.libc, python.markers["python_version"], wanted])

    def packages(folder: Path) -> None:
        install(folder, wanted, python.markers, python.platforms())

    return {
        f"package-{fingerprint()}": copy_to,
        f"packages-{hashlib.sha256(key.encode()).hexdigest()[:12]}": packages,
    }


@dataclass(frozen=True, slots=True)
class AppFolder:
    """The folder that the app is in, to be sent: its files, their size, and a name by content."""

    folder: Path
    files: tuple[Path, ...]
    size: int
    name: str

    def copy(self, folder: Path) -> None:
        """Put a copy into another folder."""
        for file in self.files:
            place = folder / file.relative_to(self.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
            place.chmod(file.stat().st_mode)


def app_folder(folder: Path) -> AppFolder:
    """What would be sent of a folder: no hidden files and folders, no virtual environments, no
    caches. UsageError when it is the home folder or above, or has more than 50 MB."""
    if Path.home().is_relative_to(folder):
        raise UsageError(
            f"{folder} is not sent: it has your home folder in it; start in the app's own folder"
        )
    files = tuple(sorted(every_file(folder)))
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        largest = max(files, key=lambda file: file.stat().st_size)
        raise UsageError(
            f"{folder} is not sent: {size / 1e6:.0f} MB, at most {MOST_BYTES / 1e6:.0f} are; "
            f"the largest file is {largest.relative_to(folder)}"
        )
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return AppFolder(folder, files, size, f"app-{digest.hexdigest()[:12]}")


def every_file(folder: Path) -> Iterator[Path]:
    """The files of a folder that are worth sending."""
    for root, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in LEFT_OUT
            and not (Path(root) / name / "pyvenv.cfg").exists()
        ]
        for name in names:
            path = Path(root) / name
            if not name.startswith(".") and path.is_file():
                yield path
