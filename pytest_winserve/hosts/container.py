"""A Linux container on this machine's Docker engine.

The servers run in it, and the lab reaches them through ports that Docker publishes on 127.0.0.1.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_winserve.docker import first_process
from pytest_winserve.docker.engine import (
    NAME,
    SETUP,
    engine_version,
    find_docker,
    lab_image,
    labels,
    require_image,
)
from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.remote.host import RemoteHost
from pytest_winserve.remote.machine import Failure, own_path
from pytest_winserve.system.packages import is_installed
from pytest_winserve.system.ports import ADDRESS, FIRST, Address, Listen
from pytest_winserve.version import __version__

if TYPE_CHECKING:
    import execnet
    from testcontainers.core.docker_client import DockerClient

    from pytest_winserve.deployment.contract import Spec

PORTS = 32
"""How many ports a container has: one for each backend and each front that run at a time. Each
costs the engine about 30 ms when a container starts."""
ENGINE_SECONDS = 60
LOOK_SECONDS = 5
NOT_HIDDEN = ("bin", "dev", "etc", "lib", "opt/winserve", "proc", "sys", "tmp", "usr", "var")
"""Folders of the image that the user's own must not take the place of."""


class ContainerMachine:
    """A container that is made when a gateway to it is wanted, and goes with it."""

    name = NAME
    listen = Listen("0.0.0.0", FIRST, FIRST + PORTS - 1)  # noqa: S104 - published on 127.0.0.1
    note = (
        "a Linux container. Docker's proxy takes every connection on 127.0.0.1 itself, so one that "
        "the server refuses is seen here as closed early, and each costs the proxy's time"
    )

    def __init__(self, image: str) -> None:
        self._image = image
        self._client: DockerClient | None = None
        self._container: Any = None
        self._ports: dict[int, int] = {}

    @property
    def image(self) -> str:
        return self._image or lab_image()

    @property
    def mend(self) -> str:
        if not self._image:
            return SETUP
        return (
            f"in the image {self._image}: pip install pytest-winserve=={__version__}, with nginx "
            f"and Python 3.11 or later; or the lab's own image: {SETUP} --base {self._image}"
        )

    @property
    def advice(self) -> str:
        if not self._image:
            return f"a package that the app needs in the container: {SETUP} --with PACKAGE"
        return f"a package that the app needs must be in the image {self._image}"

    def ready(self) -> str:
        if not is_installed("testcontainers"):
            raise MissingComponent(
                NAME,
                "the Python package testcontainers is not installed",
                'python -m pip install "pytest-winserve[container]"',
            )
        version = engine_version()
        require_image(self.image)
        return f"Docker {version}, image {self.image}"

    def commands(self, code: str) -> list[list[str]]:
        self.ready()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return [[find_docker(), "exec", "--interactive", self._container.name,
                 "python3", "-u", "-c", code]]  # fmt: skip

    def explained(self, said: str) -> Failure:
        return Failure(f"its Python does not start: {said}", self.mend)

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        return  # `winserve setup container` does it

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        return spec

    def folder(self) -> Path:
        return Path(tempfile.gettempdir())

    def reach(self, port: int) -> Address:
        return ADDRESS, self._ports[port]

    def translate(self, path: Path) -> str:
        return str(path)

    def gone(self) -> str | None:
        if self._container is None:
            return None
        from docker.errors import DockerException, NotFound  # type: ignore[import-untyped]
        from requests import RequestException

        name = self._container.name
        try:
            self._container.reload()
        except NotFound:
            return f"the container {name} is gone: it was removed, or what held it has ended"
        except (DockerException, RequestException) as error:
            return f"the Docker engine does not answer: {error}"
        status = self._container.status
        return None if status == "running" else f"the container {name} is {status}"

    def close(self) -> None:
        from docker.errors import DockerException
        from requests import RequestException

        container, self._container = self._container, None
        client, self._client = self._client, None
        self._ports = {}
        if container is not None:
            # It ends and is removed by itself as well; then it is already gone.
            with suppress(DockerException, RequestException):
                container.remove(force=True)
        if client is not None:
            client.client.close()

    def _start(self) -> None:
        from docker.errors import DockerException
        from requests import RequestException
        from testcontainers.core.docker_client import DockerClient

        code = Path(first_process.__file__).read_text("utf-8")
        try:
            self._client = client = DockerClient(timeout=ENGINE_SECONDS)
            # Not its DockerContainer, which starts a reaper from an image of its own, if need be
            # from a registry: this container ends by itself.
            self._container = client.create(
                self.image,
                name=f"winserve-{secrets.token_hex(6)}",
                entrypoint=["python3", "-c", code],
                ports={f"{port}/tcp": (ADDRESS, 0) for port in self._listened()},
                labels=labels(),
                volumes={path: {"bind": path, "mode": "ro"} for path in self._mounts()},
                working_dir="/",
                auto_remove=True,
            )
            client.start(self._container)
            self._container.reload()
        except DockerException as error:
            said = getattr(error, "explanation", None) or str(error)
            if "python3" in said and "not found" in said:
                reason = f"there is no python3 in the image {self.image}"
                raise MissingComponent(NAME, reason, self.mend) from None
            raise StartError(f"the container does not start: {said}") from None
        except RequestException as error:
            raise StartError(f"the Docker engine does not answer: {error}") from None
        client.client.api.timeout = LOOK_SECONDS
        published = self._container.ports
        try:
            self._ports = {
                port: int(published[f"{port}/tcp"][0]["HostPort"]) for port in self._listened()
            }
        except (KeyError, TypeError, IndexError):
            raise StartError(
                f"the container has ended as soon as it was started, or Docker has not published "
                f"its ports on {ADDRESS}; it publishes {published}"
            ) from None

    def _listened(self) -> range:
        return range(self.listen.first, self.listen.last + 1)

    def _mounts(self) -> list[str]:
        """The user's own folders, which are called the same over there and can only be read."""
        wanted = sorted({Path.cwd(), *own_path()})
        outer = [each for each in wanted if not any(p in wanted for p in each.parents)]
        for path in outer:
            hidden = [name for name in NOT_HIDDEN if Path("/", name).is_relative_to(path)]
            if hidden:
                raise UsageError(
                    f"the folder {path} (the current one, or on Python's path) would hide the "
                    f"container's own /{hidden[0]}; work in the folder of your application"
                )
        return [str(path) for path in outer]


def open_host(argument: str) -> RemoteHost:
    return RemoteHost(_machine(argument))


def ready() -> str:
    return _machine("").ready()


def _machine(image: str) -> ContainerMachine:
    if sys.platform == "win32":
        raise UsageError("the host container is for labs on Linux and macOS, not on Windows")
    return ContainerMachine(image)
