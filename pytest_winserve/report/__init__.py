"""Reports: the terminal summary, results.json, summary.md and report.html.

Everything here shows a run's records, the content of results.json; nothing knows of labs or pytest.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_winserve.errors import UsageError

if TYPE_CHECKING:
    from pytest_winserve.report.blocks import Report

# ENOENT: the directory is there, so it is one in which no file can be made (as in /proc).
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def make_folder(directory: str | os.PathLike[str]) -> Path:
    """The folder for a report, made with its parents. UsageError when it cannot be written into."""
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"report directory {folder}: it, or a part of it, is a file") from error
    except OSError as error:
        raise UsageError(f"report directory {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"report directory {folder}: is not writable")
    return folder


def write_report(directory: str | os.PathLike[str], report: Report) -> None:
    """Write results.json, report.html and summary.md into `directory`, each atomically.

    The directory and its parents are created. UsageError when it is a file, cannot be created or is
    not writable; OSError naming the file when one cannot be written (a full disk).
    """
    # Jinja and the templates are wanted here only: not by somebody who reads a results.json.
    from pytest_winserve.report import html, markdown
    from pytest_winserve.report.store import write_json

    folder = make_folder(directory)
    with _told(folder):
        # The data first: it is what the other two can be made from again.
        write_json(folder / "results.json", report.run.to_dict())
    write_texts(folder, {"report.html": html.render(report), "summary.md": markdown.render(report)})


def write_texts(directory: str | os.PathLike[str], texts: Mapping[str, str]) -> None:
    """Write files of text into `directory`, by name, each atomically; errors as `write_report`."""
    from pytest_winserve.report.store import write_text

    folder = make_folder(directory)
    with _told(folder):
        for name, text in texts.items():
            write_text(folder / name, text)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """That the folder is not writable is a mistake of who named it."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise UsageError(f"report directory {folder}: is not writable: {error}") from error
        raise
