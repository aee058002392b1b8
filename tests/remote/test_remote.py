"""A topology on another machine, as far as the lab's end goes: the other machine is a Python of
this one, behind the same gateway, relay and agent as any other."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import execnet
import psutil
import pytest

from pytest_winserve import Lab
from pytest_winserve.deployment.contract import READY_RUN, Spec
from pytest_winserve.errors import (
    HostLost,
    MissingComponent,
    StartError,
    UsageError,
    WinserveError,
)
from pytest_winserve.lab.observer import Silent
from pytest_winserve.load.results.answers import Reference
from pytest_winserve.load.results.complaints import Complaint
from pytest_winserve.remote import deployment, gateway, link
from pytest_winserve.remote.host import RemoteHost
from pytest_winserve.remote.link import Link
from pytest_winserve.remote.machine import Failure, own_path
from pytest_winserve.shipping import contents
from pytest_winserve.system.ports import ADDRESS, ANYWHERE, Address, Listen
from pytest_winserve.system.process_tree import alive
from pytest_winserve.tags import lab_tag
from pytest_winserve.version import __version__
from tests.kit.components import needs
from tests.kit.ports import free_row
from tests.kit.waiting import eventually

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: the relay is for labs on POSIX systems"
)


IMPATIENT = """
import sys
from pytest_winserve.remote import relay
relay.GREETING_SECONDS = 0.5
relay.main(*sys.argv[1:])
"""


@dataclass
class Beside:
    """The kind of machine that is this one."""

    base: Path
    command: list[str] = field(default_factory=lambda: [sys.executable])
    name: str = "beside"
    mend: str = "mend it"
    advice: str = "install it over there"
    note: str = "it is this machine"
    closed: int = 0
    address: str = ADDRESS
    listen: Listen = ANYWHERE
    way_seconds: float = 0.0

    def commands(self, code: str) -> list[list[str]]:
        return [[*self.command, "-u", "-c", code]]

    def explained(self, said: str) -> Failure:
        return Failure(f"its Python does not start: {said}", self.mend)

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        return

    def place(self, gateway: execnet.Gateway, spec: Spec) -> Spec:
        return spec

    def folder(self) -> Path:
        return self.base

    def reach(self, port: int) -> Address:
        time.sleep(self.way_seconds)
        return self.address, port

    def translate(self, path: Path) -> str:
        return str(path)

    def gone(self) -> str | None:
        return None

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def machine(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


@pytest.fixture
def host(machine: Beside) -> RemoteHost:
    return RemoteHost(machine)


@pytest.fixture
def beside(host: RemoteHost) -> Iterator[Lab]:
    lab = Lab()
    lab.host = host
    with lab:
        yield lab
    eventually(lambda: not relays())


def relays() -> list[psutil.Process]:
    """The relays of this process that run."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it may end at any moment
            if alive(child) and "pytest_winserve.remote.relay" in child.cmdline():
                found.append(child)
    return found


def over_there() -> psutil.Process:
    """The Python at the other end of the gateway."""
    (relay,) = relays()
    (python,) = relay.children()
    return python


def all_threads_stopped(process: psutil.Process) -> bool:
    """Whether a signal has stopped it; where threads are not told apart, the process as a whole."""
    states = [
        path.read_text().rpartition(") ")[2][0]
        for path in Path("/proc", str(process.pid), "task").glob("*/stat")
    ]
    return set(states) == {"T"} if states else process.status() == psutil.STATUS_STOPPED


def test_a_site_over_there_is_like_one_here(beside: Lab) -> None:
    with beside.serve("nginx2-tornado") as site:
        assert site.host == "beside"
        assert site.get("/test").json()["pid"] in [backend.pid for backend in site.backends]
        assert site.probe().blocked_fraction == 0.5
        assert site.capacity().value == 2
        result = site.load(users=4, count=200)
        assert (result.sent, result.answered) == (200, 200)
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        assert result.ledger.lines()[1] == "front's log 200, backend 0 100, backend 1 100"
        assert site.deployment.pids().keys() == {"nginx", "backend-0", "backend-1"}
        assert "GET" in "".join(site.logs().values()) or "notice" in site.logs()["nginx"]
        assert site.machine["note"] == "it is this machine"
        assert site.machine["versions"]["nginx"].startswith(str(site.deployment.binary)[:4])
        assert over_there() in psutil.Process(site.backends[0].pid).parents()
        pids = list(site.deployment.pids().values())
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize("load_from", ["here", "host"])
def test_a_site_over_there_is_served_over_tls(host: RemoteHost, load_from: str) -> None:
    lab = Lab(load_from=load_from)
    lab.host = host
    with lab.serve("nginx1-waitress:front.tls=true") as site:
        assert site.get("/test").status_code == 200
        assert site.capacity(limit=2).value == 2
        result = site.load(users=2, count=20)
    assert result.url.startswith("https://")
    assert result.outcomes == {"200": 20}
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0


@needs("minutes")
@pytest.mark.parametrize("load_from", ["here", "host"])
def test_what_logs_and_answers_say_over_there_is_told_here(
    host: RemoteHost, load_from: str
) -> None:
    lab = Lab(load_from=load_from)
    lab.host = host
    with lab:
        with lab.serve("waitress", "tests.kit.apps.complains:app", fast="/test") as site:
            result = site.load(users=1, count=10, path="/raise")
            assert result.logged == (
                Complaint(
                    "LookupError (traceback)",
                    {"backend-0": 10},
                    "LookupError: no such order",
                ),
            )
            assert site.load(users=1, count=10).logged == ()
        with lab.serve("waitress", "tests.kit.apps.guarded:app", fast="/login") as site:
            result = site.load(users=1, count=10, path="/report")
            assert result.redirected.endswith("were redirects: to /login?... 10")
            assert result.answers is not None
            assert result.answers.before == (Reference("GET /report", "302", "/login?...", 0),)
    eventually(lambda: not relays())


def test_what_processes_over_there_have_is_told_here(beside: Lab) -> None:
    with beside.serve("nginx2-waitress", "tests.kit.apps.keeps:new_key()") as site:
        found = site.several_processes()
        states = site.deployment.own_states()
        pids = {backend.pid for backend in site.backends}
    assert found.processes == 2
    assert [why.partition(" ")[0] for why in found.lost] == ["SECRET_KEY", "the"]
    assert {state.pid for state in states} == pids


def test_a_gateway_closes_with_its_last_site_unless_the_lab_is_held_open(
    host: RemoteHost, machine: Beside
) -> None:
    lab = Lab()
    lab.host = host
    with lab.serve("flask"), lab.serve("tornado"):
        assert len(relays()) == 1
    assert relays() == []
    assert machine.closed == 1
    with lab:
        for _ in range(2):
            with lab.serve("flask"):
                python = over_there()
        assert over_there() == python
    assert relays() == []
    assert machine.closed == 2


OUTSIDE = "127.0.0.2"
"""Where a server is found that listens on all addresses, and not one on 127.0.0.1 only."""

COMMAND = f"{sys.executable} -m http.server {{port}} --bind"


@pytest.fixture
def outside(machine: Beside) -> range:
    """The machine is reached from outside only, by these five ports."""
    ports = free_row(5)
    machine.address = OUTSIDE
    machine.listen = Listen("0.0.0.0", ports[0], ports[-1])  # noqa: S104 - as in a container
    return ports


@needs("minutes")
@pytest.mark.skipif(sys.platform == "darwin", reason="platform: macOS has no 127.0.0.2")
@pytest.mark.parametrize("topology", ["nginx4", "nginx1-gunicorn", "nginx2-uwsgi", "waitress"])
def test_a_site_that_is_reached_from_outside(beside: Lab, outside: range, topology: str) -> None:
    with beside.serve(topology) as site:
        urls = [site.url, *(backend.url for backend in site.backends)]
        assert {urlsplit(url).hostname for url in urls} == {OUTSIDE}
        assert {urlsplit(url).port for url in urls} <= {*outside}
        assert [site.get(f"{url}/test").status_code for url in urls] == [200] * len(urls)
        result = site.load(users=4, count=100)
        assert result.ledger is not None
        assert (result.outcomes, result.ledger.unaccounted) == ({"200": 100}, 0)
        if topology == "nginx4":
            with pytest.raises(StartError, match=f"no free port from {outside[0]}"):
                beside.serve("flask")
    with pytest.raises(UsageError, match="port 80 is not among those that can be reached there"):
        beside.serve("flask", port=80)


@pytest.mark.skipif(sys.platform == "darwin", reason="platform: macOS has no 127.0.0.2")
@pytest.mark.usefixtures("outside")
def test_a_command_that_is_not_reached_from_outside(beside: Lab) -> None:
    said = r"(?s)not from here.*refused.*listen on {address}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "REACH_SECONDS", 0.5)
        with pytest.raises(StartError, match=said):
            beside.serve("command", command=f"{COMMAND} 127.0.0.1", fast="/")
    assert len(relays()) == 1
    with beside.serve("command", command=f"{COMMAND} {{address}}", fast="/") as site:
        assert site.get("/").status_code == 200


def test_a_way_there_that_takes_long_to_make(
    beside: Lab, machine: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "REACH_SECONDS", 3.0)
    machine.way_seconds = 3.5
    with beside.serve("flask") as site:
        machine.way_seconds = 0.0
        assert site.get("/test").status_code == 200


def test_errors_of_over_there_are_raised_here(beside: Lab, machine: Beside) -> None:
    with pytest.raises(
        UsageError, match=r"there is no module 'nosuch'(.|\n)*install it over there"
    ):
        beside.serve("flask", "nosuch:app")
    lab = Lab(nginx="/no/nginx")
    lab.host = beside.host
    with pytest.raises(MissingComponent, match=r"'/no/nginx', on the host beside\n.*: auto, sys"):
        lab.serve("nginx2")
    # What pip brings, the machine's own way of mending does.
    missing = gateway.Gateway(machine).rebuilt(
        "MissingComponent", "gone", "flask", "python -m pip install it"
    )
    assert str(missing) == "flask: gone, on the host beside\n  to get it: mend it"
    with pytest.raises(StartError, match="answered 500"):
        beside.serve("tornado", fast="/misbehave?status=500")
    beside.host.require("tornado")


def test_what_fails_without_a_name_is_shown_with_its_traceback(machine: Beside) -> None:
    opened = gateway.Gateway(machine)
    opened.enter()
    try:
        calls = opened.link()
        with pytest.raises(WinserveError, match=r"Traceback(.|\n)*AttributeError"):
            calls("nosuch")
        calls.close()
    finally:
        opened.leave()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no such thing')", "does not start: .*no such thing"),
        ("print('Welcome'); input()", "does not start: .*Welcome"),
    ],
)
def test_a_machine_without_python(
    host: RemoteHost, machine: Beside, code: str, message: str
) -> None:
    machine.command = ["sh", "-c", 'exec "$0" -c "$1"', sys.executable, code]
    with pytest.raises(MissingComponent, match=f"(?s)beside: .*{message}.*to get it: mend it"):
        host.require("flask")
    eventually(lambda: not relays())


def test_a_machine_that_asks_something_is_given_up(host: RemoteHost, machine: Beside) -> None:
    """Somebody has to answer before there is a Python, and cannot."""
    machine.command = ["sh", "-c", "exec sleep 600"]
    relay = [sys.executable, "-c", IMPATIENT]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "relay", lambda folder, log, words: [
            *relay, str(folder), str(log), *words, "--"
        ])  # fmt: skip
        with pytest.raises(MissingComponent, match=r"does not start: .*it said nothing for 0\.5 s"):
            host.require("flask")
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if child.name() == "sleep"]


class Ended(Beside):
    """The kind of machine whose Python has ended before anything is asked of it."""

    def prepare(self, gateway: execnet.Gateway, provision: bool) -> None:
        eventually(lambda: not gateway.hasreceiver())


def test_a_python_that_ends_before_it_is_greeted(tmp_path: Path) -> None:
    machine = Ended(tmp_path, command=["sh", "-c", "echo no Python >&2"])
    with pytest.raises(MissingComponent, match=r"does not start: .*no Python"):
        RemoteHost(machine).require("flask")
    assert machine.closed == 1


def test_a_program_that_is_not_there(host: RemoteHost, machine: Beside) -> None:
    machine.command = ["/no/such/program"]
    with pytest.raises(MissingComponent, match="/no/such/program"):
        host.require("flask")


def test_a_package_of_another_version_is_refused(
    host: RemoteHost, machine: Beside, tmp_path: Path
) -> None:
    contents.copy_to(tmp_path / "other")
    changed = tmp_path / "other" / "pytest_winserve" / "version.py"
    changed.write_text(changed.read_text("utf-8").replace(__version__, "0.0.9"), "utf-8")
    machine.command = ["env", f"PYTHONPATH={tmp_path / 'other'}", sys.executable]
    here = f"{__version__} \\({contents.fingerprint()}\\) here"
    with pytest.raises(
        MissingComponent, match=rf"is 0\.0\.9 \(\w+\) over there, but {here}\n.*mend"
    ):
        host.require("flask")


def test_a_package_whose_modules_have_other_names_is_refused(
    host: RemoteHost, machine: Beside, tmp_path: Path
) -> None:
    contents.copy_to(tmp_path / "earlier")
    package = tmp_path / "earlier" / "pytest_winserve"
    shutil.rmtree(package / "remote")
    (package / "remote.py").touch()
    machine.command = ["env", f"PYTHONPATH={tmp_path / 'earlier'}", sys.executable]
    with pytest.raises(MissingComponent) as refused:
        host.require("flask")
    first, *_, last = str(refused.value).splitlines()
    assert first.startswith(
        f"beside: pytest-winserve over there is not {__version__} ({contents.fingerprint()}), "
        "as here: No module named 'pytest_winserve.remote.agent'"
    )
    assert last == "  to get it: mend it"
    assert "Traceback" not in str(refused.value)
    assert machine.closed == 1


def test_the_same_package_has_the_same_fingerprint_elsewhere(tmp_path: Path) -> None:
    contents.copy_to(tmp_path)
    code = "from pytest_winserve.shipping.contents import *; print(fingerprint(), PACKAGE.parent)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [contents.fingerprint(), str(tmp_path)]


def test_a_gateway_that_is_cut_off_during_a_load_is_told(beside: Lab) -> None:
    with beside.serve("tornado") as site:
        over_there().kill()
        with pytest.raises(
            HostLost, match=r"the gateway to the host beside was lost(.|\n)*known: 4 sent"
        ):
            site.load(users=1, count=4)
        assert site.deaths() == [
            "the gateway to the host beside was lost: its Python was killed by signal 9 (SIGKILL)"
        ]
        assert site.deployment.lost is not None
        assert site.logs() == {}
        assert site.backends[0].requests is None
    with beside.serve("tornado") as again:
        assert again.get("/test").status_code == 200


@needs("minutes")
@pytest.mark.parametrize("load_from", ["here", "host"])
def test_a_long_load_does_not_go_on_when_the_gateway_is_lost(
    host: RemoteHost, load_from: str
) -> None:
    lab = Lab(load_from=load_from)
    lab.host = host
    with lab.serve("tornado") as site:

        def strike(text: str) -> None:
            if " sent" in text:
                over_there().kill()
                site.observer = Silent()

        site.observer.progress = strike  # type: ignore[method-assign]
        with pytest.raises(HostLost, match=r"beside was lost: (.|\n)*\nwhat is known: \d+ s, \d"):
            site.load(users=1, duration=600)
        assert site.deaths() == [site.deployment.lost]
    eventually(lambda: not psutil.Process().children())


def test_a_lost_gateway_is_lost_to_all_its_sites_and_to_no_later_one(beside: Lab) -> None:
    with beside.serve("tornado") as one, beside.serve("flask") as other:
        over_there().kill()
        (reason,) = one.deaths()
        with beside.serve("tornado") as later:
            assert other.deaths() == [reason]
            assert later.get("/test").status_code == 200
            assert later.deaths() == []


def test_a_machine_that_does_not_answer_is_given_up(
    beside: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beside.serve("flask") as site:
        monkeypatch.setattr(link, "ANSWER_SECONDS", 0.5)
        python = over_there()
        python.send_signal(signal.SIGSTOP)
        # The signal reaches one thread after the other; until then another may still answer.
        eventually(lambda: all_threads_stopped(python))
        assert site.deaths() == ["the gateway to the host beside was lost: no answer for 0.5 s"]
        eventually(lambda: not alive(python))


def test_the_answer_to_an_interrupted_call_is_not_taken_for_the_next(
    beside: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with beside.serve("flask") as site:
        assert isinstance(site.deployment, deployment.RemoteDeployment)
        link = site.deployment._link

        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Link, "_receive", lambda *_: interrupt(None))
            with pytest.raises(KeyboardInterrupt):
                link("pids")
        assert site.deployment.deaths() == []


# Ctrl-C may come while Python makes a socket, before anybody has it who could close it.
@pytest.mark.filterwarnings("ignore:.*unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("load_from", ["here", "host"])
def test_ctrl_c_ends_a_probe_and_the_site_over_there(host: RemoteHost, load_from: str) -> None:
    lab = Lab(load_from=load_from)
    lab.host = host
    slow_tag = lab_tag(READY_RUN + 1)
    with lab, ExitStack() as stack:
        site = stack.enter_context(lab.serve("nginx2", slow="/sleep?seconds=600"))
        python, pids = over_there(), [*site.deployment.pids().values()]

        def strike() -> None:
            eventually(lambda: site.deployment.in_flight(slow_tag) == 1)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=strike)
        thread.start()
        with pytest.raises(KeyboardInterrupt), stack:
            site.probe()
        thread.join()
        eventually(lambda: not any(map(psutil.pid_exists, pids)))
        # The machine is still good for another site.
        assert alive(python)
        with lab.serve("flask") as other:
            assert other.get("/test").ok


def test_a_lab_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from pytest_winserve import Lab
from pytest_winserve.remote.host import RemoteHost
from tests.remote.test_remote import Beside
lab = Lab()
lab.host = RemoteHost(Beside(Path({str(tmp_path)!r})))
site = lab.serve("nginx2")
print(*site.deployment.pids().values(), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout is not None
            pids = [int(word) for word in lab.stdout.readline().split()]
            everything = psutil.Process(lab.pid).children(recursive=True)
            assert len(pids) == 3
            assert {process.pid for process in everything} > set(pids)
        finally:
            lab.kill()
    eventually(lambda: not [each for each in everything if alive(each)])


def test_the_users_own_path_has_no_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    found = own_path()
    assert tmp_path in found
    assert not [path for path in found if path.name in ("site-packages", "lib-dynload")]
    assert Path(os.__file__).parent not in found
