"""Archives that are sent to another machine."""

from __future__ import annotations

import zipfile
from pathlib import Path

TIME = (2020, 1, 1, 0, 0, 0)
"""Of every file in an archive: the same content has the same digest."""


def pack(folder: Path, archive: Path) -> None:
    """Make a zip file of all files of a folder, always the same of the same files."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), TIME)
                info.external_attr = file.stat().st_mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(info, file.read_bytes())
