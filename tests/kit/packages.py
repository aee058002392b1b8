"""Packages made by tests, small enough to be built without anything from elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

_PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
_BACKEND = """\
import zipfile
from pathlib import Path

NAME, TAG, REQUIRES = {name!r}, {tag!r}, {requires!r}


def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = f"{{NAME}}-1.0.dist-info"
    about = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: 1.0\\n"
    about += "".join(f"Requires-Dist: {{each}}\\n" for each in REQUIRES)
    content = {{
        f"{{NAME}}.py": "SAYS = 'here'\\n",
        f"{{info}}/METADATA": about,
        f"{{info}}/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {{TAG}}\\n",
    }}
    record = "".join(f"{{file}},,\\n" for file in [*content, f"{{info}}/RECORD"])
    with zipfile.ZipFile(Path(folder) / f"{{NAME}}-1.0-{{TAG}}.whl", "w") as file:
        for place, text in [*content.items(), (f"{{info}}/RECORD", record)]:
            file.writestr(place, text)
    return f"{{NAME}}-1.0-{{TAG}}.whl"
"""


def source_package(
    folder: Path, name: str, *, tag: str = "py3-none-any", requires: tuple[str, ...] = ()
) -> Path:
    """A source distribution of one module, which says `here`; its wheel gets this tag."""
    path = folder / f"{name}-1.0.tar.gz"
    content = {
        "pyproject.toml": _PROJECT,
        "backend.py": _BACKEND.format(name=name, tag=tag, requires=requires),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as file:
        for place, text in content.items():
            member = tarfile.TarInfo(f"{name}-1.0/{place}")
            member.size = len(text.encode())
            file.addfile(member, io.BytesIO(text.encode()))
    return path
