"""Which app is served when none is named: as Flask's own command looks for it.

See https://flask.palletsprojects.com/en/stable/cli/#application-discovery: `FLASK_APP`, else
`wsgi.py`, else `app.py`. A folder with none of these may be that of a Django project: `manage.py`
beside one package with a `wsgi.py`. Else it is the sample app.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.errors import UsageError
from pytest_winserve.session.settings import Settings

FILES = ("wsgi.py", "app.py")
PROJECT = "manage.py"
VARIABLE = "FLASK_APP"
DOTENV = (".flaskenv", ".env")
"""Where Flask's own command reads variables from, the first one that has it."""
READ_BYTES = 100_000
NAMED = 3
"""Of files that seem to make an app: how much is read of each, and how many are named."""


def with_app(settings: Settings) -> Settings:
    """The settings with the environment of the app, and with what is served where no app is named.
    Raises UsageError."""
    folder = Path.cwd() / (settings.chdir or "")
    if settings.chdir is not None and "local" in settings.host and not folder.is_dir():
        raise UsageError(f"--chdir={settings.chdir}: there is no such folder")
    environment = environment_of(settings.env, settings.env_file)
    app, why = (settings.app, "") if settings.app else found_app(folder, environment)
    return replace(settings, app=app, environment=environment, why_app=why)


def environment_of(pairs: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """The variables of `NAME=VALUE` texts, and before them of files as python-dotenv reads them.
    Raises UsageError with what is wrong, and in which line; no value is in its text."""
    found: dict[str, str] = {}
    for file in files:
        found |= _of_file(Path(file))
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            raise UsageError(f"--env {name.strip()}: NAME=VALUE is needed")
        if "\0" in value:
            raise UsageError(f"--env {name.strip()}: the value has a NUL")
        found[name.strip()] = value
    return found


def _of_file(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"--env-file {path}: {reason}") from None
    for each in parse_stream(io.StringIO(text)):
        words = each.original.string.strip()
        if each.error or (each.key is not None and each.value is None):
            name = re.split(r"[=\s]", words, maxsplit=1)[0]
            raise UsageError(
                f"--env-file {path}, line {_line(text, each.original.string)}: {name!r} is no "
                "NAME=VALUE"
            )
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}


def _line(text: str, part: str) -> int:
    """The line in which the first word of a part stands."""
    lead = len(part) - len(part.lstrip())
    return text[: text.find(part) + lead].count("\n") + 1


def found_app(folder: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """The app in a folder, and how it was found, in words."""
    given = environment.get(VARIABLE) or os.environ.get(VARIABLE)
    if given:
        return _as_name(given, folder), f"by {VARIABLE}"
    for name in DOTENV:
        if (folder / name).is_file():
            given = _of_dotenv(folder / name)
            if given:
                return _as_name(given, folder), f"by {VARIABLE} in {name}"
    for name in FILES:
        if (folder / name).is_file():
            return name, "found in this folder"
    packages = sorted(path.parent.name for path in folder.glob("*/wsgi.py"))
    if len(packages) == 1 and (folder / PROJECT).is_file():
        return f"{packages[0]}.wsgi", f"found beside {PROJECT}"
    hints = {f"{name}/wsgi.py": f"{name}.wsgi" for name in packages} | _apps_by_their_text(folder)
    why = (
        f"the sample app of this package: there is no --app, no {VARIABLE}, and neither "
        f"{' nor '.join(FILES)} in {folder}"
    )
    told = [f"for {file}, write --app {name}" for file, name in hints.items()]
    return SAMPLE_APP, "; ".join([why, *told[:NAMED]])


def _apps_by_their_text(folder: Path) -> dict[str, str]:
    """The names of the packages and modules of a folder that seem to make an app, by their files.

    They are not served unasked: Flask's own command would not find them, and whoever named the file
    so may mean something else by it.
    """
    from pytest_winserve.backend.apps import FACTORIES, NAMES, modules_in

    # What a module must have that is named alone.
    makes_app = re.compile(
        rf"^(?:(?:{'|'.join(NAMES)})\b[^=\n]*=(?!=)"
        r"|\w+ *= *(?:flask\.)?Flask\("
        rf"|def (?:{'|'.join(FACTORIES)})\()".encode(),
        re.MULTILINE,
    )
    found = {}
    for path in sorted(modules_in(folder), key=lambda path: (path.suffix == ".py", path)):
        name = path.name.removesuffix(".py")
        if name.startswith(("test", "conftest")) or not name.isidentifier():
            continue
        source = path if path.is_file() else path / "__init__.py"
        try:
            with source.open("rb") as file:
                text = file.read(READ_BYTES)
        except OSError:
            continue
        if makes_app.search(text):
            found[source.relative_to(folder).as_posix()] = name
    return found


def _of_dotenv(path: Path) -> str | None:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if VARIABLE not in text:
        return None
    from dotenv import dotenv_values

    return dotenv_values(stream=io.StringIO(text)).get(VARIABLE)


def _as_name(given: str, folder: Path) -> str:
    """What Flask's own command takes for an app, as this package writes it: that takes a path
    without its `.py`, too, and a folder that is a package."""
    given = given.strip()
    path, colon, attribute = given.partition(":")
    if len(path) == 1 and attribute[:1] in ("\\", "/"):  # a drive of Windows
        path, colon, attribute = (
            given[:2] + given[2:].partition(":")[0],
            *given[2:].partition(":")[1:],
        )
    rest = f"{colon}{attribute}"
    if "/" in path or "\\" in path:
        if (folder / f"{path}.py").is_file():
            return f"{path}.py{rest}"
        if (folder / path / "__init__.py").is_file():
            return f"{Path(path, '__init__.py').as_posix()}{rest}"
    return f"{path}{rest}"
