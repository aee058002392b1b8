"""Makes the lab image: a base image with Python, the packages of the lab, and this package.

The packages are wheels that this Python's pip gets for the Python of the base, with the user's own
configuration of pip. The build itself needs no network, so it is the same everywhere.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_winserve.docker.engine import (
    LABEL,
    NAME,
    REPOSITORY,
    SETUP,
    ask,
    engine_version,
    image_labels,
    lab_image,
)
from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.shipping.contents import copy_to, lab_folder
from pytest_winserve.shipping.platforms import wheel_platforms
from pytest_winserve.shipping.wheels import install, requirements

BASE = "python:3.11-slim"
OLDEST = (3, 11)
BASE_LABEL, PACKAGES_LABEL = f"{LABEL}.base", f"{LABEL}.packages"
BUILD_SECONDS = 900.0
ADVICE = f"{SETUP} --base IMAGE, with an image that has Python 3.11 or later and glibc"

ABOUT = """
import json, os, platform, sys
print(json.dumps({
    "implementation_name": sys.implementation.name,
    "implementation_version": platform.python_version(),
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "python_version": ".".join(platform.python_version_tuple()[:2]),
    "sys_platform": sys.platform,
    "libc": platform.libc_ver(),
}))
"""
"""The variables of dependency markers (PEP 508), and the C library."""

Tell = Callable[[str], None]


def setup(
    tell: Tell, *, base: str | None = None, packages: Sequence[str] = (), fresh: bool = False
) -> None:
    """Make the image of this package unless it is there.

    `base` is the image that it is made from, `packages` what the user's app needs beyond the
    servers; both stay in force for later runs until one that is `fresh`. Raises MissingComponent
    without an engine or without the base, UsageError for a base that is of no use.
    """
    tell(f"Docker engine {engine_version()}")
    before = {} if fresh else image_labels(f"{REPOSITORY}:latest") or {}
    base = base or before.get(BASE_LABEL, BASE)
    wanted = sorted({*json.loads(before.get(PACKAGES_LABEL, "[]")), *packages})
    labels = {LABEL: "image", BASE_LABEL: base, PACKAGES_LABEL: json.dumps(wanted)}
    image = lab_image()
    if not fresh and image_labels(image) == labels:
        tell(f"  kept  {image}, made from {base}")
    else:
        tell(f"  make  {image} from {base} ...")
        begun = time.perf_counter()
        _build(image, base, wanted, labels)
        tell(f"        made in {time.perf_counter() - begun:.1f} s")
    ask("tag", image, f"{REPOSITORY}:latest")


def python_of(base: str) -> tuple[dict[str, str], list[str]]:
    """The markers of an image's Python, and the platforms of the wheels that it takes. It may be
    pulled. Raises MissingComponent when it cannot be had, UsageError when it is of no use."""
    try:
        said = ask("run", "--rm", "--label", LABEL, "--entrypoint", "python3", base, "-c", ABOUT,
                   seconds=BUILD_SECONDS)  # fmt: skip
    except StartError as error:
        if "executable file not found" in str(error) or "no such file" in str(error):
            raise UsageError(f"the image {base} has no python3; {ADVICE}") from None
        raise MissingComponent(NAME, f"the image {base} cannot be had: {error}", ADVICE) from None
    markers: dict[str, Any] = json.loads(said.splitlines()[-1])
    libc, version = markers.pop("libc")
    number = tuple(map(int, markers["python_version"].split(".")))
    if number < OLDEST:
        raise UsageError(f"the image {base} has Python {markers['python_version']}; {ADVICE}")
    if libc != "glibc":
        raise UsageError(f"the image {base} has no glibc, for which the wheels are; {ADVICE}")
    return markers, wheel_platforms(f"linux-{markers['platform_machine']}", (libc, version))


def _build(image: str, base: str, packages: list[str], labels: dict[str, str]) -> None:
    markers, platforms = python_of(base)
    with tempfile.TemporaryDirectory(prefix="winserve-image-") as name:
        context = Path(name)
        context.chmod(0o755)  # its mode becomes that of the image's folder
        winserve = context / "winserve"
        install(winserve / "site", [*requirements(markers), *packages], markers, platforms)
        (winserve / "package").mkdir()
        copy_to(winserve / "package")
        shutil.copyfile(lab_folder() / "container" / "Dockerfile", context / "Dockerfile")
        options = [f"--label={name}={value}" for name, value in labels.items()]
        ask("build", "--build-arg", f"BASE={base}", *options, "--tag", image, str(context),
            seconds=BUILD_SECONDS)  # fmt: skip
