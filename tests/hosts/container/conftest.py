"""The engine of this machine, its images of a test's own, and what a test started in containers."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pytest_winserve.docker.engine import LABEL, ask
from tests.kit.waiting import eventually

GONE_SECONDS = 15.0
"""The first process of a container looks four times a second; the rest is the engine's removal of
the container, on a machine that is busy."""

Image = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Containers:
    """Those of the labs that run in one process."""

    pid: int

    def names(self) -> list[str]:
        return ask("ps", "--all", "--filter", f"label={LABEL}.pid={self.pid}",
                   "--format", "{{.Names}}").split()  # fmt: skip

    def name(self) -> str:
        (name,) = self.names()
        return name

    def gone(self) -> None:
        """Wait until there is none."""
        eventually(lambda: not self.names(), seconds=GONE_SECONDS, otherwise=self.names)


@pytest.fixture
def mine(engine: str) -> Iterator[Containers]:
    """The containers of this very process; none may be left."""
    mine = Containers(os.getpid())
    yield mine
    mine.gone()


@pytest.fixture
def image(engine: str) -> Iterator[Image]:
    """Makes an image of a Dockerfile's text; all are removed again."""
    made: list[str] = []

    def image(text: str) -> str:
        name = f"winserve-test:{secrets.token_hex(6)}"
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", name, "-"],
            input=text.encode(), capture_output=True, check=True,
        )  # fmt: skip
        made.append(name)
        return name

    yield image
    for name in made:
        ask("image", "rm", "--force", name)
