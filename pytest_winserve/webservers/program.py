"""What nginx and Apache have in common for the lab: each says what it is when asked, and gets its
configuration from a template of the folder `lab`."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_winserve.errors import MissingComponent
from pytest_winserve.shipping.contents import lab_folder


@dataclass(frozen=True, slots=True)
class FrontBinary:
    """The program of a front: where it is, which kind of find it was, and its version."""

    path: Path
    which: str
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.which}: {self.path})"


ASK_SECONDS = 30
SAID = 2000
"""Characters of what it says that go into an error: the last ones."""


@dataclass(frozen=True, slots=True)
class WebServer:
    """A kind of web server: what the lab calls it, what it calls itself, and the one line that gets
    it. `version` is the pattern of its version in what it says of itself."""

    component: str
    name: str
    version: str
    get_it: str

    def ask(self, path: Path, option: str) -> str:
        """What the program says to the option `-v`. Raises MissingComponent when it does not run,
        or fails."""
        try:
            done = subprocess.run(
                [str(path), option],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=ASK_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._missing(f"{path} does not run: {error}") from None
        said = (done.stdout + done.stderr).strip() or f"exit status {done.returncode}"
        if done.returncode:
            raise self._not_working(path, said)
        return said

    def version_in(self, said: str, where: object) -> str:
        """The version in what the program at `where` says. Raises MissingComponent when it is
        something else."""
        match = re.search(self.version, said)
        if match is None:
            raise self._not_working(where, said)
        return match[1]

    def _not_working(self, where: object, said: str) -> MissingComponent:
        return self._missing(f"{where} is not a working {self.name}; it says: {said[-SAID:]}")

    def _missing(self, reason: str) -> MissingComponent:
        return MissingComponent(self.component, reason, self.get_it)


def configuration(kind: str, template: str, **values: Any) -> str:
    """The configuration that a template in the folder `kind` of `lab` gives with these values."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(lab_folder() / kind),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    return environment.get_template(template).render(**values)
