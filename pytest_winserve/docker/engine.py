"""The container engine of this machine, by Docker's own command line: what the user's contexts and
variables choose is what is used."""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import Any

from pytest_winserve.errors import MissingComponent, StartError
from pytest_winserve.shipping.contents import DISTRIBUTION, fingerprint
from pytest_winserve.system.commands import run
from pytest_winserve.version import __version__

NAME = "container"
SETUP = "winserve setup container"
GET_DOCKER = "sudo apt-get install docker.io   (Debian, Ubuntu; elsewhere https://docs.docker.com/get-docker/)"
START_IT = "sudo systemctl start docker   (Linux; elsewhere start Docker Desktop)"
GET_ACCESS = 'sudo usermod -aG docker "$USER", then log in again   (whoever is in it is like root)'
REPOSITORY = f"{DISTRIBUTION}-lab"
LABEL = DISTRIBUTION
"""What all of our images and containers carry; nothing else is ever removed."""
ANSWER_SECONDS = 30.0
DENIED = re.compile("permission denied while trying to connect", re.IGNORECASE)
UNREACHED = re.compile(
    "cannot connect to the docker daemon|failed to connect|error during connect", re.IGNORECASE
)


def labels() -> dict[str, str]:
    """Whose a container is: of which process of this machine."""
    return {LABEL: "lab", f"{LABEL}.pid": str(os.getpid())}


def lab_image() -> str:
    """The image that `winserve setup container` makes of this very package."""
    return f"{REPOSITORY}:{__version__.replace('+', '-')}-{fingerprint()}"


def find_docker() -> str:
    """Docker's command line. Raises MissingComponent."""
    found = shutil.which("docker")
    if found is None:
        raise MissingComponent(NAME, "there is no command docker on the PATH", GET_DOCKER)
    return found


def ask(*arguments: str, seconds: float = ANSWER_SECONDS) -> str:
    """What docker says. Raises MissingComponent without an engine, StartError with its complaint
    otherwise."""
    done = run([find_docker(), *arguments], dict(os.environ), seconds=seconds)
    if done.returncode == 0:
        return done.stdout.strip()
    said = done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}"
    first = said.splitlines()[0]
    if DENIED.search(said):
        raise MissingComponent(
            NAME, f"this user may not use the Docker engine: {first}", GET_ACCESS
        )
    if UNREACHED.search(said):
        raise MissingComponent(NAME, f"no Docker engine answers: {first}", START_IT)
    raise StartError(f"docker {arguments[0]}: {said}")


def engine_version() -> str:
    """The engine's version. Raises MissingComponent without one."""
    return ask("version", "--format", "{{.Server.Version}}")


def image_labels(image: str) -> dict[str, Any] | None:
    """The labels of an image of this machine; None when it has no such image."""
    try:
        said = ask("image", "inspect", "--format", "{{json .Config.Labels}}", image)
    except StartError as error:
        if "no such image" in str(error).lower():
            return None
        raise
    return json.loads(said) or {}


def require_image(image: str) -> None:
    """Raise MissingComponent when this machine does not have the image; nothing is pulled."""
    if image_labels(image) is None:
        own = image == lab_image()
        reason = "the lab image of this version is not there" if own else f"no image {image} here"
        raise MissingComponent(NAME, reason, SETUP if own else f"docker pull {image}")
