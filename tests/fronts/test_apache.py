"""Apache that is not there, is something else, lacks a module, refuses its configuration, or dies;
as a front and around the app."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Lab
from pytest_winserve.errors import MissingComponent, StartError, StopError
from pytest_winserve.servers import get_server, mod_wsgi, require_server
from pytest_winserve.system.process_tree import kill
from pytest_winserve.tags import TOTALS
from pytest_winserve.webservers import apache
from tests.kit.commands import Start, winserve
from tests.kit.components import needs
from tests.kit.environments import make_environment
from tests.kit.loads import killed, load_and, notes
from tests.kit.processes import up_until
from tests.kit.programs import script
from tests.kit.traces import Serve, Traces
from tests.kit.waiting import eventually

pytestmark = [pytest.mark.usefixtures("traces"), needs("apache")]

EACH = ("apache2", "cgi", "mod_wsgi")
Stand = Callable[[str], Path]


@pytest.fixture
def httpd() -> apache.Httpd:
    """The real Apache."""
    try:
        return apache.find_httpd()
    except MissingComponent as missing:
        pytest.skip(str(missing))


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Puts a script in Apache's place, where the PATH finds it first."""

    def instead(text: str) -> Path:
        (tmp_path / "bin").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        return script(tmp_path / "bin" / "apache2", text)

    return instead


def asked(httpd: apache.Httpd, otherwise: str) -> str:
    """A script that answers like Apache what it is, and does something else when started."""
    return f"case $1 in -v|-l) exec '{httpd.path}' $1;; esac\n{otherwise}"


@pytest.mark.parametrize("topology", EACH)
def test_no_apache(
    topology: str, serve: Serve, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(apache, "PLACES", ())
    with pytest.raises(MissingComponent) as caught:
        serve(topology)
    assert str(caught.value) == (
        "apache: there is no Apache on the PATH nor in a usual place\n"
        "  to get it: sudo apt-get install apache2 (Fedora: httpd; macOS has it)"
    )
    traces.nothing_started()


NOT_APACHE = {
    "says nothing": ("exit 0", "is not a working Apache; it says: exit status 0"),
    "fails": ("echo no licence >&2; exit 4", "is not a working Apache; it says: no licence"),
    "another program": ("echo nginx/1.22", "is not a working Apache; it says: nginx/1.22"),
    "garbage": (r"printf '\377\376\001'", "is not a working Apache; it says: "),
}


@pytest.mark.parametrize(("text", "message"), NOT_APACHE.values(), ids=list(NOT_APACHE))
def test_programs_that_are_not_apache(
    instead: Stand, serve: Serve, traces: Traces, text: str, message: str
) -> None:
    instead(text)
    with pytest.raises(MissingComponent) as caught:
        serve("apache1")
    assert message in str(caught.value)
    traces.nothing_started()


@pytest.mark.parametrize(
    ("topology", "absent"),
    [
        ("apache1", ("proxy_balancer", "headers")),
        ("cgi", ("cgid",)),
        ("mod_wsgi", ("authz_core",)),
    ],
)
def test_apache_without_a_module(
    httpd: apache.Httpd, tmp_path: Path, instead: Stand, topology: str, absent: tuple[str, ...]
) -> None:
    instead(f"exec '{httpd.path}' \"$@\"")
    # Beside bin/apache2 the folder modules is its own, and comes before the system's.
    (tmp_path / "modules").mkdir()
    assert httpd.modules is not None
    for file in httpd.modules.glob("mod_*.so"):
        if file.stem.removeprefix("mod_") not in absent:
            (tmp_path / "modules" / file.name).symlink_to(file)
    done = winserve("up", topology)
    assert done.status == 3
    names = ", ".join(f"mod_{name}" for name in absent)
    assert f"apache: {tmp_path}/bin/apache2 is without {names} in {tmp_path}/modules" in done.err
    assert "to get it: " in done.err


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", EACH)
def test_refusing_its_configuration(httpd: apache.Httpd, instead: Stand, topology: str) -> None:
    instead(asked(httpd, f"exec '{httpd.path}' \"$@\" -c 'BadDirective On'"))
    done = winserve("up", topology)
    assert done.status == 1
    assert "Invalid command 'BadDirective', perhaps misspelled" in done.err
    assert "exited with status 1 while starting" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("topology", "who"), [("apache1", "apache"), ("cgi", "Apache")])
def test_never_listening(
    httpd: apache.Httpd, instead: Stand, serve: Serve, topology: str, who: str
) -> None:
    instead(asked(httpd, "exec sleep 600"))
    with pytest.raises(StartError, match=f"{who} did not listen in"):
        serve(topology, start_timeout=5)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="platform: only for root")
def test_root_without_setpriv(
    httpd: apache.Httpd, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartError, match=r"Apache does not serve as root, .* run this as another"):
        serve("apache1")


def test_mod_wsgi_that_is_not_installed(
    httpd: apache.Httpd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mod_wsgi, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")
    with pytest.raises(MissingComponent, match="package mod_wsgi is not installed") as caught:
        require_server(get_server("mod_wsgi"), sys.platform)
    assert caught.value.hint == (
        'sudo apt-get install apache2-dev && python -m pip install "pytest-winserve[mod-wsgi]"'
    )


def test_the_systems_mod_wsgi_is_for_the_systems_python(
    httpd: apache.Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mod_wsgi, "find_spec", lambda name: None)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    own = tmp_path / f"mod_wsgi.so-{version}"
    own.touch()
    debians = apache.Httpd(httpd.path, httpd.version, httpd.built_in, tmp_path)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert mod_wsgi.find_module(debians) == own
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")
    with pytest.raises(MissingComponent, match=f"for the system's Python {version}, this is /opt"):
        mod_wsgi.find_module(debians)


@pytest.mark.parametrize("topology", ["apache2", "apache2:front.retry=false"])
def test_one_of_two_backends(httpd: apache.Httpd, serve: Serve, topology: str) -> None:
    with serve(topology) as site:
        backend = psutil.Process(site.backends[0].pid)
        result = load_and(site, backend.kill)
        assert notes(result) == killed("backend-0", backend.pid)
        assert "refused" not in result.outcomes
        assert site.get("/test").status_code == 200


def test_the_process_of_the_front(httpd: apache.Httpd, serve: Serve) -> None:
    with serve("apache2") as site:
        (child,) = psutil.Process(site.deployment.pids()["apache"]).children()
        result = load_and(site, child.kill)
        assert notes(result) == [
            f"died during the load: apache: process {child.pid} ended, and another took its place"
        ]
        # Its parent starts another one.
        assert site.get("/test").status_code == 200


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["mod_wsgi:processes=2"])
def test_a_daemon_of_mod_wsgi(serve: Serve, topology: str) -> None:
    with serve(topology) as site:
        worker = psutil.Process(site.get("/test").json()["pid"])
        result = load_and(site, worker.kill)
        # Apache has started another one; what the dead one ran is over.
        assert notes(result) == []
        assert site.deaths() == []
        eventually(lambda: site.deployment.in_flight(TOTALS) == 0)
        # It loads the app meanwhile.
        eventually(lambda: site.capacity(slow="/sleep?seconds=0.4").as_declared)


def test_a_request_of_cgi_that_dies(httpd: apache.Httpd, serve: Serve) -> None:
    with serve("cgi") as site:
        assert site.get("/misbehave?crash=3").status_code == 500
        eventually(lambda: "End of script output before headers" in site.logs()["backend-0"])
        assert site.deployment.in_flight(TOTALS) == 1  # nobody was left to say that it is over
        assert site.get("/test").status_code == 200
        assert site.deployment.in_flight(TOTALS) == 0
        (counts,) = site.deployment.backend_counts()
        assert (counts.started, counts.raised) == (2, 0)
        assert site.deaths() == []


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["mod_wsgi:processes=4:threads=8"])
def test_locks_of_processes_and_threads_are_no_deadlock(serve: Serve, topology: str) -> None:
    # mod_wsgi's processes take turns with a lock of a file's, and so do the counters.
    with serve(topology) as site:
        result = site.load(users=32, count=2000)
        assert result.outcomes == {"200": 2000}
        assert "deadlock" not in site.logs()["backend-0"]


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["mod_wsgi", "fastcgi"])
def test_a_program_that_is_only_kept(serve: Serve, topology: str) -> None:
    with serve(topology) as site:
        # It is the backend's own child, and what it runs is its.
        kept = psutil.Process(site.backends[0].pid)
        if topology == "fastcgi":
            (kept,) = kept.children()
        family = [kept, *kept.children()]

        def strike() -> None:
            kill(family)

        result = load_and(site, strike)
        (note,) = notes(result)
        assert note.startswith("died during the load: backend-0 ")
        assert f"(pid {kept.pid}) was killed by signal 9 (SIGKILL) unasked" in site.backends[0].log


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["mod_wsgi"])
def test_an_environment_that_only_root_may_enter(topology: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # as /root is, where a container's app often has its own
    python = make_environment(tmp_path / "venv")
    (site,) = (tmp_path / "venv").rglob("site-packages")
    (site / "all.pth").write_text(sysconfig.get_path("purelib"))
    with Lab(python=str(python)).serve(topology) as served:
        assert served.get("/test").ok


def test_requests_that_still_run_at_the_end(httpd: apache.Httpd, serve: Serve) -> None:
    site = serve("cgi")

    def ask() -> None:
        with suppress(OSError):
            site.get("/sleep?seconds=60")

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: site.deployment.in_flight(TOTALS) == 1)
    site.close()  # without an error, and without the process of the request
    asking.join()


def test_ignoring_the_request_to_stop(httpd: apache.Httpd, instead: Stand, serve: Serve) -> None:
    # Not by exec: the shell stays, and what it was asked does not reach Apache.
    real = f"trap '' TERM\n'{httpd.path}' \"$@\" &\nwait\nwait\nexec sleep 600"
    instead(asked(httpd, real))
    site = serve("apache1")
    with pytest.raises(StopError, match=r"apache \(pid \d+\) ignored the request to stop for 5 s"):
        site.close()


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["apache2-mod_wsgi:processes=2", "cgi", "nginx2-fastcgi"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_the_lab_ends(traces: Traces, start: Start, number: str, topology: str) -> None:
    up_until(number, topology, traces, start)
