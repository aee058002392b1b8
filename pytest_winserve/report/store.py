"""results.json: written whole or not at all, and read back with its mistakes named."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from pytest_winserve.errors import UsageError
from pytest_winserve.report.record import SCHEMA, RunRecord

OUTCOMES = ("passed", "failed", "error", "skipped")

_TEST_KEYS: Mapping[str, type] = {
    "nodeid": str,
    "outcome": str,
    "topology": str,
    "host": str,
    "app": str,
    "verdicts": list,
    "capacities": list,
    "results": list,
    "events": list,
}
_REQUIREMENT_KEYS: Mapping[str, type] = {"criterion": str, "evaluated": int, "failed": int}


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically: a reader sees the old file or the new one.

    What has no UTF-8 (a lone surrogate, from a file name that could not be decoded) is written as
    the escape `\\udcff`, which is also right inside JSON.
    Raises OSError, naming `path`, when it cannot be written (no such folder, full disk, no
    permission); then `path` is as it was and nothing half-written is left beside it.
    """
    target = Path(path)
    # Not tempfile: its files are readable by the owner only, and a report is there to be shared.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - os.replace is the call that is atomic
    except OSError as error:
        _remove(temporary)
        raise OSError(error.errno, f"cannot write: {error.strerror}", str(target)) from error
    except BaseException:
        _remove(temporary)
        raise


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write `data` as JSON to `path`, atomically (see `write_text` for what is raised).

    UsageError when `data` is not JSON: NaN and the infinities are no numbers in JSON, and what was
    not measured is null.
    """
    try:
        # Without blanks: most of the file is counters of histograms.
        text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{os.fspath(path)}: the results are not JSON: {error}") from error
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of a results.json written by `write_json`.

    UsageError when there is no such file, it is truncated or otherwise not JSON, it is of another
    schema, or a part that every reader needs is missing.
    """
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is not UTF-8 text: {error}") from error
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: is not JSON, or is cut off: {error}") from error
    _check(name, data)
    assert isinstance(data, dict)
    return data


def read_run(path: str | os.PathLike[str]) -> RunRecord:
    """The run that a results.json holds. UsageError as in `read_json`, and when a measurement is
    damaged."""
    return RunRecord.from_dict(read_json(path))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check(name: str, data: object) -> None:
    if not isinstance(data, dict) or "schema" not in data:
        raise UsageError(f"{name}: is not a results.json: it has no schema")
    if data["schema"] != SCHEMA:
        raise UsageError(f"{name}: its schema is {data['schema']!r}; this version reads {SCHEMA!r}")
    for key, kind in (("environment", dict), ("tests", list), ("requirements", list)):
        if not isinstance(data.get(key), kind):
            raise UsageError(f"{name}: {key!r} is missing or is not a {_JSON_NAMES[kind]}")
    for index, test in enumerate(data["tests"]):
        _check_object(f"{name}: tests[{index}]", test, _TEST_KEYS)
        if test["outcome"] not in OUTCOMES:
            raise UsageError(
                f"{name}: tests[{index}]: outcome is {test['outcome']!r}; "
                f"it is one of {', '.join(OUTCOMES)}"
            )
    for index, requirement in enumerate(data["requirements"]):
        _check_object(f"{name}: requirements[{index}]", requirement, _REQUIREMENT_KEYS)


_JSON_NAMES: Mapping[type, str] = {dict: "object", list: "list", str: "string", int: "number"}


def _check_object(where: str, value: object, keys: Mapping[str, type]) -> None:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: is not an object")
    for key, kind in keys.items():
        if not isinstance(value.get(key), kind):
            raise UsageError(f"{where}: {key!r} is missing or is not a {_JSON_NAMES[kind]}")
