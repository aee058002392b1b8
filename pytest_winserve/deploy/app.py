"""The app that is to be deployed: loaded once by its own Python, from its own folder, with its own
environment, so that a name that does not work is refused before anything is written."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_winserve.backend.app_names import AppName, parse_app
from pytest_winserve.backend.apps import module_of
from pytest_winserve.errors import AppError
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.shipping.lending import package_folder

LOAD = """
import json, os, sys
sys.path.append(sys.argv[2])
from pytest_winserve.backend.apps import load_app
from pytest_winserve.errors import AppError
try:
    told = {"name": load_app(sys.argv[1]).name}
except AppError as error:
    told = {"error": str(error)}
print("\\n" + json.dumps(told), flush=True)
os._exit(0)
"""
SAID = 1500
"""Characters of what an app says that cannot be loaded: the last ones."""
MODULE = "deployed_app"
"""What is written where the app's name is more than some servers' commands take."""


@dataclass(frozen=True, slots=True)
class DeployedApp:
    """`folder` is where it runs, `path` where its modules are; `name` is what every server takes.
    `code` is the text of the module `MODULE` where that is part of the name, else empty."""

    folder: Path
    path: Path
    name: str
    code: str = ""

    @property
    def imports(self) -> str:
        """The statement that binds it as `app`."""
        module, _, attribute = self.name.partition(":")
        return f"from {module} import {attribute}{'' if attribute == 'app' else ' as app'}"


def find_app(
    spec: str, folder: Path, python: AppPython, environment: Mapping[str, str], seconds: float
) -> DeployedApp:
    """Load the app in a process of its own. Raises AppError with what is wrong."""
    name = parse_app(_loaded(spec, folder, python, environment, seconds))
    path, module = folder, name.source
    if name.is_file:
        path, module = module_of((folder / name.source).resolve())
    plain = name.arguments is None and name.attribute.isidentifier()
    if plain and f"{module}{name.attribute}".isascii():
        return DeployedApp(folder, path, f"{module}:{name.attribute}")
    code = f"import {module}\n\napp = {module}.{_expression(name)}\n"
    return DeployedApp(folder, path, f"{MODULE}:app", code)


def _loaded(
    spec: str, folder: Path, python: AppPython, environment: Mapping[str, str], seconds: float
) -> str:
    """The whole name of the app. Raises AppError."""
    try:
        done = subprocess.run(
            [python.command, "-c", LOAD, spec, str(package_folder())],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AppError(
            f"the app {spec!r} was not loaded in {seconds:g} s; --start-timeout gives it longer"
        ) from None
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        said = done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}"
        raise AppError(
            f"the app {spec!r} could not be loaded from {folder}:\n{said[-SAID:]}"
        ) from None
    if "error" in told:
        raise AppError(told["error"])
    loaded: str = told["name"]
    return loaded


def _expression(name: AppName) -> str:
    """What stands after the module: an attribute, or a call with its arguments as they are."""
    if name.arguments is None:
        return name.attribute
    given = [repr(each) for each in name.arguments[0]]
    given += [f"{key}={value!r}" for key, value in name.arguments[1].items()]
    text = f"{name.attribute}({', '.join(given)})"
    ast.parse(text)
    return text
