"""An app's requirements file, as pip knows it: read for another machine than this one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from pytest_winserve.errors import UsageError

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASHES = re.compile(r"\s--hash[= ]\S+")
_INCLUDE = re.compile(r"(?:-r|--requirement)(?:\s+|=)?(?P<file>\S.*)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_LOCAL = re.compile(r"(?:\.{1,2}(?:[/\\]|$)|[/\\~]|[A-Za-z]:[/\\]|file:)|.*\.(?:whl|zip|tar\.gz)$")
_URL = re.compile(r"(?:git\+|hg\+|svn\+|bzr\+)?\w+://")


def read_requirements(file: Path) -> list[str]:
    """The requirements that a file lists, and those that it includes by `-r`; their hashes are left
    out, since what has only its source is built on this machine.

    Raises UsageError with the file, the line and what would be right.
    """
    return list(_read(file, (), "--requirements"))


def _read(file: Path, open_files: tuple[Path, ...], asked: str) -> Iterator[str]:
    file = file.absolute()
    if file in open_files:
        raise UsageError(f"{asked}: {file} includes itself; leave that line out")
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{asked}: {file} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise UsageError(
            f"{asked}: {file} cannot be read: {error.strerror}; name a requirements file, as "
            "`python -m pip freeze > requirements.txt` writes one"
        ) from None
    for number, line in _lines(text):
        where = f"{file.name}, line {number}"
        include = _INCLUDE.fullmatch(line)
        if include:
            yield from _read(file.parent / include["file"], (*open_files, file), where)
        else:
            yield _requirement(line, where)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, each with the number of its first one."""
    first, pending = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        first = first if pending else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            pending += line[:-1] + " "
            continue
        whole, pending = _COMMENT.sub("", pending + line).strip(), ""
        if whole:
            yield first, whole


def _requirement(line: str, where: str) -> str:
    if _EDITABLE.match(line) or _LOCAL.match(line):
        raise UsageError(
            f"{where}: {line!r} is a place on this machine; leave it out: the app's own folder is "
            "seen under Wine as it is. Another package's wheel is found by its name where pip's "
            "configuration says so (PIP_FIND_LINKS)"
        )
    if line.startswith("-"):
        raise UsageError(
            f"{where}: {line.split()[0]!r} is an option of pip's, and none are read here; leave it "
            "out and put it into pip's own configuration or variables (such as PIP_INDEX_URL), "
            "which are heeded"
        )
    if _URL.match(line):
        raise UsageError(f"{where}: {line!r} has no name; write NAME @ {line}")
    text = _HASHES.sub("", line).strip()
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{where}: {line!r} is no requirement ({reason}); write NAME or NAME==VERSION"
        ) from None
    if found.url and urlsplit(found.url).scheme in {"", "file"}:
        raise UsageError(
            f"{where}: {line!r} is a place on this machine; write {found.name}==VERSION"
        )
    return str(found)
