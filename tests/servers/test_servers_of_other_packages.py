"""Servers of other packages, and packages that are too old: with real packages on Python's path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_winserve import Lab, registry
from pytest_winserve.errors import MissingComponent, StartError, UsageError
from pytest_winserve.options import defaults
from pytest_winserve.servers import (
    Package,
    Server,
    get_server,
    packages,
    require_server,
    server_names,
)
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.topology import Topology
from tests.kit.commands import winserve
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows, not_on_wine

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_server"
GROUP = "pytest_winserve.servers"


def put(folder: Path, name: str, version: str, entry_points: str = "", code: str = "") -> Path:
    """A package as pip would install it into a folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(head, "utf-8")
    if entry_points:
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n", "utf-8")
        (folder / f"{name.replace('-', '_')}.py").write_text(code, "utf-8")
    return folder


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder at the front of Python's path, where this test puts packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    registry.added.cache_clear()
    yield folder
    registry.added.cache_clear()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's package, built and unpacked, as an installer does."""
    folder = tmp_path_factory.mktemp("built")
    source = shutil.copytree(EXAMPLE, folder / "source")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def with_path(folder: Path) -> dict[str, str]:
    """The environment of a process that finds packages in `folder` as well."""
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])}


@needs("minutes")
def test_a_server_of_another_package_is_checked_like_any_other(
    installed: Path, tmp_path: Path
) -> None:
    done = winserve(
        "check", "nginx2-wsgiref:backlog=128", "--users=4", "--duration=1",
        cwd=tmp_path, **with_path(installed),
    )  # fmt: skip
    assert done.status == 0, done.out + done.err
    assert "BLOCKS: 2 of 4 fast requests" in done.out
    assert "runs 2 requests at once; nginx2-wsgiref:backlog=128 declares 2" in done.out
    assert "unaccounted: 0" in " ".join(done.out.split())


def test_doctor_knows_a_server_of_another_package(installed: Path, tmp_path: Path) -> None:
    done = winserve("doctor", cwd=tmp_path, **with_path(installed))
    assert done.status == 0, done.err
    assert "ready    wsgiref      wsgiref of the standard library\n" in done.out


BROKEN = {
    "it raises": ("raise RuntimeError('no luck')", "cannot be imported: RuntimeError: no luck"),
    "it needs what is not there": (
        "import nowhere_to_be_found",
        "cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    "it has no server": ("", "does not define SERVER"),
}


@pytest.mark.parametrize(("code", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_package_is_named_when_its_server_is_asked_for(
    path: Path, code: str, said: str
) -> None:
    put(path, "bad-servers", "2.0", "bad = bad_servers", code)
    assert "bad" in server_names()
    assert "waitress" in set(packages())
    assert str(Topology.parse("nginx4-waitress")) == "nginx4-waitress"
    with pytest.raises(MissingComponent) as caught:
        Topology.parse("nginx2-bad")
    assert str(caught.value) == (
        "bad: the package bad-servers adds this server, but its module 'bad_servers' "
        f"{said}\n  to get it: python -m pip install --upgrade --force-reinstall bad-servers"
    )


@needs("minutes")
def test_doctor_and_check_tell_of_a_broken_package(path: Path, tmp_path: Path) -> None:
    put(path, "bad-servers", "2.0", "bad = bad_servers", "raise RuntimeError('no luck')")
    doctor = winserve("doctor", cwd=tmp_path, **with_path(path))
    assert doctor.status == 0, doctor.err
    lines = [line for line in doctor.out.splitlines() if " bad " in line]
    assert len(lines) == 1
    assert lines[0].startswith("missing  bad ")
    assert "the package bad-servers adds this server" in lines[0]
    for command in ("check", "load"):
        done = winserve(command, "bad", cwd=tmp_path, **with_path(path))
        assert done.status == 3, done.out + done.err
        assert "RuntimeError: no luck" in done.out + done.err
        assert "Traceback" not in done.out + done.err


def test_a_name_that_is_taken_is_refused_with_both_owners(path: Path) -> None:
    put(path, "second-flask", "1.0", "flask = second_flask", "SERVER = None")
    with pytest.raises(UsageError) as caught:
        Topology.parse("nginx4")
    assert str(caught.value) == (
        "topology 'nginx4': 2 packages have a server named 'flask': pytest-winserve, "
        "second-flask; uninstall all but one: python -m pip uninstall second-flask"
    )
    assert Topology.parse("waitress").declared == 4


def test_a_server_that_is_not_asked_for_is_not_imported(path: Path) -> None:
    put(path, "lazy-servers", "1.0", "lazy = lazy_servers", "raise RuntimeError('imported')")
    code = (
        "import sys, pytest_winserve.plugin\n"
        "from pytest_winserve import Lab\n"
        "with Lab().serve('flask') as site: site.get('/test').raise_for_status()\n"
        "print('lazy_servers' in sys.modules)\n"
    )
    environment = os.environ | with_path(path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "False\n"


OLD = [
    (server, package)
    for server in map(get_server, server_names())
    if server.unsupported(sys.platform, defaults(server.options, {})) is None
    for package in server.packages
]


@pytest.mark.parametrize(("server", "wanted"), OLD, ids=[f"{s.name}-{p.name}" for s, p in OLD])
def test_a_package_that_is_too_old_is_named_with_both_versions(
    path: Path, server: Server, wanted: Package
) -> None:
    put(path, wanted.name, "0.0.1")
    with pytest.raises(MissingComponent) as caught:
        require_server(server, sys.platform)
    assert str(caught.value) == (
        f"{server.name}: {wanted.name} 0.0.1 is too old, {wanted.oldest} or later is needed\n"
        f'  to get it: python -m pip install "pytest-winserve[{server.name}]"'
    )


def test_a_site_is_not_started_with_a_package_that_is_too_old(path: Path, lab: Lab) -> None:
    put(path, "cheroot", "5.0")
    with pytest.raises(MissingComponent, match=r"cheroot 5\.0 is too old, 8\.6 or later"):
        lab.serve("nginx2-cheroot")


@not_on_windows("uWSGI does not run on Windows")
def test_a_uwsgi_that_lacks_a_library_says_so_itself(path: Path, lab: Lab) -> None:
    put(path, "pyuwsgi", "99.0")
    (path / "pyuwsgi.py").write_text(
        "raise ImportError('libssl.so.1.1: cannot open it')\n", "utf-8"
    )
    with pytest.raises(StartError, match=r"could not be run: ImportError\('libssl\.so\.1\.1: "):
        lab.serve("uwsgi")


LISTENS_TWICE = """
import socket
from wsgiref.simple_server import make_server
from pytest_winserve.servers import Running
class Twice:
    name, summary, options, packages = 'twice', 'twice', (), ()
    def unsupported(self, platform, options): return None
    def concurrency(self, options): return 1
    def start(self, job):
        job.bind(5)
        app, sock = job.app(), job.listener()
        # Its own socket, as a server that does not know the one that it was given.
        server = make_server('127.0.0.1', 0, app)
        print('elsewhere:', server.server_port)
        return Running(server.serve_forever, server.shutdown)
SERVER = Twice()
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="platform: it does not tell which socket the app has opened"
)
def test_a_server_that_listens_elsewhere_is_refused_with_the_address(path: Path, lab: Lab) -> None:
    put(path, "twice-servers", "1.0", "twice = twice_servers", LISTENS_TWICE)
    with pytest.raises(StartError) as caught:
        lab.serve("nginx2-twice")
    text = str(caught.value)
    port = re.search(r"elsewhere: (\d+)", text)
    assert port is not None
    assert f"backend 0 listens at 127.0.0.1:{port[1]}, and should on port " in text


def test_another_packages_server_says_how_to_get_what_it_needs(path: Path) -> None:
    code = (
        "from pytest_winserve.servers import Package\n"
        "class Needy:\n"
        "    name, summary, options = 'needy', 'needy', ()\n"
        "    packages = (Package('nowhere', '1.5'),)\n"
        "    def unsupported(self, platform, options): return None\n"
        "    def concurrency(self, options): return 1\n"
        "SERVER = Needy()\n"
    )
    put(path, "needy-servers", "1.0", "needy = needy_servers", code)
    server: Server = get_server("needy")
    with pytest.raises(MissingComponent) as caught:
        require_server(server, sys.platform)
    assert caught.value.hint == 'python -m pip install "nowhere>=1.5"'
    app = AppPython("/venv/bin/python", "3.10.1", "/venv", ("cpython-310",), {"nowhere": "1.5"})
    with pytest.raises(MissingComponent, match=r"needy-servers, which adds .* in /venv") as caught:
        require_server(server, sys.platform, python=app)
    assert caught.value.hint == "/venv/bin/python -m pip install needy-servers"
    require_server(
        server, sys.platform, python=replace(app, installed={**app.installed, "needy-servers": "1"})
    )


IMPOSSIBLE = {
    "waitress:threads=200": "connection_limit=100 lets 98 clients in, so 200 threads cannot all be",
    "granian:blocking_threads=3:backpressure=2": "accepts 2 connections cannot use 3 threads",
    "gunicorn:worker_connections=5": "worker_connections is for gthread workers",
    "gunicorn:threads=4:worker_connections=2": "accepts 2 connections cannot use 4 threads",
}


@pytest.mark.parametrize(("text", "said"), IMPOSSIBLE.items(), ids=IMPOSSIBLE)
def test_options_that_contradict_each_other_are_refused(text: str, said: str) -> None:
    topology = Topology.parse(text)
    with pytest.raises(UsageError) as caught:
        require_server(get_server(topology.server), "linux", dict(topology.options))
    assert str(caught.value).startswith(f"{text} cannot be: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "option", "said", "instead"),
    [
        pytest.param(
            "granian", "workers", "one worker on Windows", "nginx4-granian",
            marks=not_on_wine("does not run Granian at all"),
        ),
        ("mod_wsgi", "processes", "one process on Windows", "nginx4-mod_wsgi"),
    ],
)  # fmt: skip
def test_several_processes_are_refused_on_windows(
    name: str, option: str, said: str, instead: str
) -> None:
    server = get_server(name)
    assert server.unsupported("linux", defaults(server.options, {option: 4})) is None
    with pytest.raises(UsageError) as caught:
        require_server(server, "win32", {option: 4})
    assert str(caught.value).startswith(f"{name}:{option}=4 cannot be: ")
    assert said in str(caught.value)
    assert instead in str(caught.value)


def test_nothing_is_started_with_options_that_cannot_be(lab: Lab) -> None:
    with pytest.raises(UsageError, match="cannot be: connection_limit=5 lets 3 clients in"):
        lab.serve("nginx2-waitress:connection_limit=5")


def test_each_extra_wants_what_its_server_wants() -> None:
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = {}
    for text in requires("pytest-winserve") or []:
        requirement = Requirement(text)
        marker = str(requirement.marker or "")
        for name in server_names():
            if f"extra == '{canonicalize_name(name)}'" in marker.replace('"', "'"):
                asked[name, canonicalize_name(requirement.name)] = str(requirement.specifier)
    for name in server_names():
        for package in get_server(name).packages:
            assert asked[name, canonicalize_name(package.name)] == f">={package.oldest}"
