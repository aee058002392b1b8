"""Runs one backend: `python backend.py -m waitress ... shop:app`.

Reads the environment files that settings.py names, goes to the app's folder, and then does what
Python does with the rest of the command line: `-m MODULE ...`, or `FILE.py ...` of this folder.
"""

import io
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*=[ \t]*
    (?:'(?P<plain>[^']*)'|"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<bare>[^'"\s#][^\n]*?|))\s*(?:\#.*)?""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def main() -> None:
    settings = runpy.run_path(str(HERE / "settings.py"))
    for stream in (sys.stdout, sys.stderr):
        # A service's output goes to a file. No letter of what is printed is to end the app.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    for file in settings["ENVIRONMENT_FILES"]:
        os.environ.update(read_environment(Path(file)))
    os.chdir(settings["APP_FOLDER"])
    sys.path[0] = settings["APP_PATH"]
    sys.path.append(str(HERE))  # last: nothing of the app's is replaced
    words = sys.argv[1:]
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(str(HERE / words[0]), run_name="__main__")


def read_environment(file: Path) -> dict[str, str]:
    """The variables of a file of NAME=VALUE lines; by python-dotenv where the app has it."""
    try:
        from dotenv import dotenv_values
    except ImportError:
        return dict(_variables(file))
    return {name: value or "" for name, value in dotenv_values(file, encoding="utf-8").items()}


def _variables(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(file.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None or "${" in (found["quoted"] or found["bare"] or ""):
            name = re.split(r"[=\s]", line.strip(), maxsplit=1)[0]  # never the value
            sys.exit(
                f"{file}, line {number}: {name}: NAME=VALUE is needed, in one line and without "
                "${...}; for more than that: pip install python-dotenv"
            )
        value = found["plain"] if found["plain"] is not None else found["bare"] or ""
        if found["quoted"] is not None:
            value = re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), found["quoted"])
        elif found["bare"]:
            value = re.sub(r"\s+#.*", "", value).rstrip()
        yield found["name"], value


if __name__ == "__main__":
    main()
