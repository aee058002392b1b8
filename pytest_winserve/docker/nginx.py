"""nginx in a container, in front of backends on this machine.

The container shares this machine's network, so nginx listens on 127.0.0.1 here and reaches the
backends there; its files are in the lab's folder, which has the same name on both sides. That needs
an engine on this very machine: inside of Docker Desktop, a virtual machine or another container,
the "host network" is a different one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pytest_winserve.docker.engine import LABEL, SETUP, ask, find_docker, lab_image, labels
from pytest_winserve.errors import MissingComponent, StartError

ANOTHER = "choose another nginx: --winserve-nginx=wheel, system or a path"

RUN = """
ulimit -Sn "$(ulimit -Hn)"
exec 3<&0
nginx "$@" 3<&- &
pid=$!
{ cat <&3 >/dev/null; kill $pid; } 2>/dev/null &
trap 'kill $pid' TERM
wait $pid
status=$?
while kill -0 $pid 2>/dev/null; do wait $pid; status=$?; done
exit $status
"""
"""nginx ends when it is asked to, or when the input closes because the lab is gone."""


def nginx_version(image: str) -> str:
    """What `nginx -v` says in an image of this machine, which is started once. Raises
    MissingComponent when there is no such nginx, or when its network would not be this one."""
    if sys.platform != "linux":
        reason = "the host network of its container would not be this machine's, which is not Linux"
        raise MissingComponent("nginx", reason, ANOTHER)
    look = "readlink /proc/self/ns/net && nginx -v 2>&1"
    try:
        network, _, version = ask(
            "run", "--rm", "--pull=never", "--network=host", "--label", LABEL, "--entrypoint", "sh",
            image, "-c", look,
        ).partition("\n")  # fmt: skip
    except StartError as error:
        own = image == lab_image()
        reason = f"no nginx in a container of the image {image}: {error}"
        raise MissingComponent("nginx", reason, SETUP if own else f"docker pull {image}") from None
    here = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - not a path
    if network != here:
        raise MissingComponent(
            "nginx",
            "the host network of its container is not this process's: the Docker engine runs in a "
            "machine or a container of its own",
            ANOTHER,
        )
    return version


def nginx_command(image: str, folder: Path) -> list[str]:
    """What runs nginx in a container that goes with this command, or with its standard input."""
    if sys.platform == "win32":
        raise AssertionError("nginx_version says no")
    ids = f"{os.getuid()}:{os.getgid()}"
    return [
        find_docker(), "run", "--rm", "--interactive", "--pull=never", "--network=host",
        *(f"--label={name}={value}" for name, value in labels().items()), f"--user={ids}",
        f"--volume={folder}:{folder}", "--security-opt=label=disable",
        "--entrypoint", "sh", image, "-c", RUN, "nginx",
    ]  # fmt: skip
