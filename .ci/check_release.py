"""Says whether a tag can be released: `check_release.py v0.1.0`, before anything is built.

The version of the package is that of the tag, and the changelog begins with it and its date.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELEASE = re.compile(r"^## (.*)$", re.MULTILINE)


def version(root: Path) -> str:
    """The version that stands in the package, which is not imported for it."""
    text = (root / "pytest_winserve" / "version.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("pytest_winserve/version.py has no line `__version__ = ...`")
    return found[1]


def problems(root: Path, tag: str) -> list[str]:
    """Why this tag cannot be released."""
    wanted = version(root)
    found = []
    if tag != f"v{wanted}":
        found.append(f"the tag is {tag}, but pytest_winserve/version.py says {wanted}: v{wanted}")
    heading = RELEASE.search((root / "CHANGELOG.md").read_text("utf-8"))
    first = "nothing" if heading is None else heading[1]
    if not re.fullmatch(rf"{re.escape(wanted)} - \d{{4}}-\d\d-\d\d", first):
        found.append(f"CHANGELOG.md begins with {first!r}, not with '{wanted} - YYYY-MM-DD'")
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write(f"usage: {Path(__file__).name} TAG\n")
        return 2
    found = problems(ROOT, arguments[0])
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
