"""The line that deploys what is recommended."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator

from pytest_winserve.backend import SAMPLE_APP
from pytest_winserve.deploy.order import check_topology
from pytest_winserve.errors import UsageError
from pytest_winserve.session.settings import Settings
from pytest_winserve.topology import Topology

FOLDER = "site"
FILES = "files"
GIVEN = ("chdir", "python", "fast", "nginx")
"""Settings that `winserve deploy` takes, too, if they were given."""


def how_to_deploy(topology: Topology, settings: Settings) -> Iterator[str]:
    """How the topology is deployed with the app of these settings, or why it is not; nothing for
    the sample app."""
    if settings.app == SAMPLE_APP or settings.command:
        return
    yield ""
    try:
        check_topology(topology, FILES, even_development=False)
    except UsageError as error:
        yield f"Not deployed by winserve deploy: {error}"
        return
    words = ["winserve", "deploy", str(topology), "--app", settings.app]
    for name in GIVEN:
        if name in settings.given:
            words += [f"--{name}", getattr(settings, name)]
    if "start_timeout" in settings.given:
        words += ["--start-timeout", f"{settings.start_timeout:g}"]
    for file in settings.env_file:
        words += ["--env-file", file]
    words += ["--to", FOLDER]
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    yield f"Deploy it, on the Windows machine: {join(words)}"
    if settings.env:
        names = ", ".join(text.partition("=")[0] for text in settings.env)
        yield f"  with {names} in a file that --env-file names"
