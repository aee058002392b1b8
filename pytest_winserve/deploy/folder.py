"""Writes the folder of a deployment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pytest_winserve.deploy import shipped
from pytest_winserve.deploy.app import MODULE
from pytest_winserve.deploy.order import Order, services_names
from pytest_winserve.fronts import DeployableFront, Front, get_front
from pytest_winserve.servers import CODE, Deployable, Place, Production, get_server
from pytest_winserve.system.ports import ADDRESS

NOT_LISTED = ("pip", "setuptools", "wheel", "pytest-winserve")
LOGS = "logs"
BACKEND, CONTROL, CONTROL_PARTS = "backend.py", "control.py", "service_control"
RETRY_OPTION = "fail_timeout"
"""The option of a front that says how long it leaves out a backend that failed."""


def write(order: Order) -> list[str]:
    """Write it; what is to be done next, in words. Raises MissingComponent before anything is
    written when a part cannot be had."""
    front: Any = None if order.front is None else get_front(order.front)
    binary = None if front is None else front.find(order.nginx)
    order.folder.mkdir(parents=True, exist_ok=True)
    order.kind.get(order)
    productions = _productions(order)
    front_command = None if front is None else _write_front(order, front, binary)
    _copy_programs(order)
    own_files = order.kind.texts(order, productions)
    texts = {
        "settings.py": _filled("settings.py.j2", **_settings(order, productions, front_command)),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(order)),
        "README.txt": _filled("README.txt.j2", **_readme(order, own_files)),
        f"{MODULE}.py": order.app.code,
        f"{CODE}.py": productions[0].code.replace("{imports}", order.app.imports),
        **own_files,
    }
    (order.folder / LOGS).mkdir(exist_ok=True)
    for name, text in texts.items():
        if text:
            (order.folder / name).write_text(text, "utf-8", newline="\n")
    for name, what in order.kind.commands.items():
        _write_batch(order, name, _filled("command.cmd.j2", command=name, what=what, order=order))
    _write_batch(order, "firewall", _filled("firewall.cmd.j2", order=order))
    return list(_next_steps(order))


def _copy_programs(order: Order) -> None:
    source = Path(shipped.__file__).parent
    shutil.copyfile(source / BACKEND, order.folder / BACKEND)
    if order.kind.commands:
        shutil.copyfile(source / CONTROL, order.folder / CONTROL)
        others = [f"{name}.py" for name in services_names() if name != order.kind.name]
        shutil.copytree(
            source / CONTROL_PARTS, order.folder / CONTROL_PARTS, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", *others),
        )  # fmt: skip


def _productions(order: Order) -> list[Production]:
    server = get_server(order.topology.server)
    assert isinstance(server, Deployable)
    options = order.topology.server_options
    if order.kind.gives_port:
        # Whether it says who asked, and drops what a client says of that, was not seen.
        return [server.production(Place(order.app.name, ADDRESS, order.kind.gives_port, options))]
    believed = "" if order.front is None else ADDRESS
    return [
        server.production(Place(order.app.name, address, str(port), options, believed))
        for address, port in order.listens
    ]


def _write_front(order: Order, front: Front, binary: Any) -> list[str]:
    assert isinstance(front, DeployableFront)
    folder = order.folder / front.name
    folder.mkdir(exist_ok=True)
    return front.deploy(
        binary,
        folder,
        (order.address, order.port),
        [f"{address}:{port}" for address, port in order.listens],
        order.topology.all_front_options,
    )


def _settings(
    order: Order, productions: list[Production], front_command: list[str] | None
) -> dict[str, Any]:
    listens = [] if order.kind.gives_port else order.listens
    backends = [
        (address, port, list(production.arguments))
        for (address, port), production in zip(listens, productions, strict=bool(listens))
    ]
    retried = order.topology.all_front_options.get(RETRY_OPTION, 0)
    return {
        "order": order,
        "backends": backends,
        "files": [str(file) for file in order.environment_files],
        "front_command": front_command,
        "pause": int(retried) + 1 if order.topology.count > 1 else 0,
    }


def _requirements(order: Order) -> Iterator[str]:
    """What the app's environment has, and what its server needs and that lacks."""
    there = {
        name: found for name, found in order.python.installed.items() if name not in NOT_LISTED
    }
    for package in get_server(order.topology.server).packages:
        if not package.optional and order.python.version_of(package.name) is None:
            there[package.name] = version(package.name)
    yield f"# What the app's environment had, with Python {order.python.version}, when {order.name}"
    yield f"# was deployed as {order.topology}."
    for name, found in sorted(there.items()):
        yield f"{name}=={found}"


def lacks(order: Order) -> list[str]:
    """What the server needs and the app's environment does not have, as requirements."""
    found = []
    for package in get_server(order.topology.server).packages:
        if not package.optional and order.python.version_of(package.name) is None:
            try:
                found.append(f"{package.name}=={version(package.name)}")
            except PackageNotFoundError:
                found.append(str(package))
    return found


def _readme(order: Order, own_files: Iterable[str]) -> dict[str, Any]:
    shown = ADDRESS if order.address == "0.0.0.0" else order.address  # noqa: S104
    return {
        "order": order,
        "url": f"http://{shown}:{order.port}{order.fast}",
        "commands": order.kind.commands,
        "windows": os.name == "nt",
        "lacks": lacks(order),
        "own_files": own_files,
        "count": order.topology.count,
    }


def _next_steps(order: Order) -> Iterator[str]:
    missing = lacks(order)
    if missing:
        yield f"{order.python.command} -m pip install {' '.join(missing)}"
    yield from order.kind.next_steps(order)


def _write_batch(order: Order, name: str, text: str) -> None:
    """In the code page that cmd.exe reads it by, where that has all letters; else it is told."""
    lines = text.splitlines()
    encoding = "ascii"
    if not text.isascii():
        encoding = _code_page(text)
        page = encoding.removeprefix("cp") if encoding != "utf-8" else "65001"
        lines.insert(1, f"chcp {page} >nul")
    data = "".join(f"{line}\r\n" for line in lines).encode(encoding)
    (order.folder / f"{name}.cmd").write_bytes(data)


def _code_page(text: str) -> str:
    if os.name == "nt":
        import ctypes

        page = f"cp{ctypes.windll.kernel32.GetOEMCP()}"  # type: ignore[attr-defined, unused-ignore]
        try:
            text.encode(page)
        except (LookupError, UnicodeEncodeError):
            return "utf-8"
        return page
    return "utf-8"


def _filled(template: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pytest_winserve.deploy"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    # In a batch file a percent sign is two; there is no letter that could end the quotes.
    environment.filters["batch"] = lambda path: str(path).replace("%", "%%")
    return environment.get_template(template).render(**values)
