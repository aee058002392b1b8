"""What one process of an app has for itself: keys, threads, child processes, sockets, databases in
memory, logs. `state_teller.py` says when it is looked at.

Of a key only a digest leaves the process, salted with what the lab makes for each run.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import importlib.metadata
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.backend.databases import engine_in_memory
from pytest_winserve.backend.noted import Noted, children_of, made_threads
from pytest_winserve.backend.wrapped import is_flask, objects_in
from pytest_winserve.system.listeners import listeners_of
from pytest_winserve.system.ports import Address

LONGEST_COMMAND = 100
NO_OWN_ROLLOVER = "concurrent_log_handler"
"""A package whose handlers rotate under a lock that processes share."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread that the app has started; `of` is whose code it runs."""

    name: str
    of: str

    @property
    def schedules(self) -> bool:
        """Whether it runs jobs at times, by what it is called."""
        return "schedul" in f"{self.name} {self.of}".lower()


@dataclass(frozen=True, slots=True)
class Log:
    """A file that the process has open to write at its end."""

    path: str
    rotates: bool


@dataclass(frozen=True, slots=True)
class OwnState:
    """What a process has for itself. `keys` are digests by name; None is what is not known."""

    backend: int
    pid: int
    keys: Mapping[str, str]
    threads: tuple[Thread, ...]
    children: tuple[str, ...] | None
    listens: tuple[str, ...] | None
    memory_database: bool | None
    logs: tuple[Log, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OwnState:
        """The inverse of `asdict`, also after JSON."""
        several = {name: None if data[name] is None else tuple(data[name])
                   for name in ("children", "listens")}  # fmt: skip
        threads = tuple(Thread(**each) for each in data["threads"])
        logs = tuple(Log(**each) for each in data["logs"])
        return cls(**{**data, **several, "threads": threads, "logs": logs})


def look(noted: Noted) -> OwnState:
    """What this process has for itself now."""
    listens = own_listeners(noted)
    return OwnState(
        noted.backend,
        os.getpid(),
        {name: digest(key, noted.salt) for name, key in keys_of(noted.app)},
        tuple(sorted(own_threads(noted), key=lambda each: (each.of, each.name))),
        own_children(noted),
        None if listens is None else tuple(f"{host}:{port}" for host, port in sorted(listens)),
        engine_in_memory() or noted.connection_in_memory,
        tuple(sorted(logs(), key=lambda log: log.path)),
    )


def to_json(state: OwnState) -> str:
    """As it is written, and read by `read_states`."""
    return json.dumps(asdict(state))


def read_states(counters: Path) -> list[OwnState]:
    """What the processes of a backend have written."""
    files = counters.parent.glob(f"{counters.stem}.state-*")
    texts = [file.read_text("utf-8") for file in files if file.suffix.count("-") == 1]
    return [OwnState.from_dict(json.loads(text)) for text in texts]


# -- keys ------------------------------------------------------------------------------------------


def digest(key: str | bytes, salt: str) -> str:
    """What is told of a key."""
    data = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    return hmac.new(salt.encode(), data, hashlib.sha256).hexdigest()


def keys_of(app: object) -> Iterator[tuple[str, str | bytes]]:
    """The keys that this app signs with, by name, as far as they can be found."""
    for flask in flask_apps(app):
        for name, value in flask.config.items():
            secret = "SECRET" in name or name.endswith("_SALT")
            if secret and isinstance(value, str | bytes) and value:
                yield f"{name} of the Flask app {flask.name!r}", value
    django = sys.modules.get("django.conf")
    if django is not None and django.settings.configured:
        yield "SECRET_KEY of the Django project", django.settings.SECRET_KEY


def flask_apps(app: object) -> list[Any]:
    """The Flask objects in an app, within whatever middleware wraps them."""
    return [each for each in objects_in(app) if is_flask(each)]


# -- threads ---------------------------------------------------------------------------------------


def own_threads(noted: Noted) -> Iterator[Thread]:
    """The threads that are the app's."""
    modules = {*_modules_of(noted.server), *sys.stdlib_module_names, "pytest_winserve"}
    for thread in made_threads():
        module, what = _code_of(thread)
        top = module.partition(".")[0]
        # Those that have come since it was loaded may be the server's, or of a pool of the standard
        # library that is made with the first request.
        if thread in noted.threads or top not in modules:
            yield Thread(thread.name, f"{what} of {top}")


def _code_of(thread: threading.Thread) -> tuple[str, str]:
    """The module and the name of what a thread runs."""
    target = getattr(thread, "_target", None)
    if target is None:
        return type(thread).__module__, type(thread).__name__
    owner = getattr(target, "__self__", None)
    module = getattr(target, "__module__", None) or type(target).__module__
    name = getattr(target, "__name__", type(target).__name__)
    return module, name if owner is None else type(owner).__name__


def _modules_of(server: str) -> Iterator[str]:
    """The top modules of what a server is made of."""
    if not server:
        return
    for package in importlib.import_module(server).SERVER.packages:
        yield package.name.lower().replace("-", "_")
        with suppress(importlib.metadata.PackageNotFoundError):
            files = importlib.metadata.distribution(package.name).files or ()
            yield from {file.parts[0].partition(".")[0] for file in files if file.suffix == ".py"}


# -- processes, sockets, files ---------------------------------------------------------------------


def own_children(noted: Noted) -> tuple[str, ...] | None:
    """The command lines of the child processes that are the app's; None where that is not known."""
    now, loaded, servers = children_of(os.getpid()), noted.children, noted.children_of_server
    if now is None or loaded is None or servers is None:
        return None
    return tuple(sorted(_command_line(pid) for pid in now if pid in loaded or pid not in servers))


def _command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"pid {pid}"
    return b" ".join(words).decode(errors="replace").strip()[:LONGEST_COMMAND]


def own_listeners(noted: Noted) -> set[Address] | None:
    """Where the app itself listens; None where that is not known."""
    if noted.own_addresses is None:
        return None
    try:
        found = listeners_of(os.getpid())
    except ImportError:  # psutil, in the app's own environment
        return None
    return None if found is None else found - set(noted.own_addresses())


def logs() -> Iterator[Log]:
    """The files that this process writes its logs to."""
    rotating: dict[str, bool] = {}
    for known in list(getattr(logging, "_handlerList", ())):
        handler = known()
        if isinstance(handler, logging.FileHandler) and handler.baseFilename != os.devnull:
            module = type(handler).__module__.partition(".")[0]
            rotates = hasattr(handler, "doRollover") and module != NO_OWN_ROLLOVER
            rotating[handler.baseFilename] = rotates or rotating.get(handler.baseFilename, False)
    for path in _written():
        rotating.setdefault(path, False)
    return (Log(path, rotates) for path, rotates in rotating.items())


def _written() -> Iterator[str]:
    """On Linux: other regular files that are open to be written at their end."""
    if sys.platform != "linux":
        return
    standard = {os.readlink(f"/proc/self/fd/{n}") for n in (1, 2)}  # noqa: PTH115
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
            info = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
            flags = int(info.partition("flags:")[2].split()[0], 8)
            if flags & os.O_APPEND and path not in standard and Path(path).is_file():
                yield path
