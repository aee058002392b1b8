"""The lab itself ends, one way or the other: within two seconds nothing of it is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.kit.commands import PYTEST_OPTIONS, Started, run_pytest
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.processes import signal_group, up_until
from tests.kit.traces import Traces

pytestmark = [needs("minutes"), pytest.mark.usefixtures("traces")]

Start = Callable[..., Started]

posix = not_on_windows("Windows has no signals to end a group of processes")

APP = "apps.children:far()"  # it has a child in a session of its own
LOADS = "def test_load(winserve):\n    winserve.load(users=20, duration=60, think_time=0.02)\n"
HANGS = "import time\nopen('loading', 'w').close()\ntime.sleep(600)\n"


@pytest.fixture
def loading(tmp_path: Path, traces: Traces, start: Start) -> Callable[..., Started]:
    """Start a pytest whose load has begun; the folder of the lab has nginx's log of it."""

    def loading(*options: str) -> Started:
        (tmp_path / "test_load.py").write_text(LOADS)
        run = start("pytest", *PYTEST_OPTIONS, "--winserve-topology=nginx2", *options)

        def flows() -> bool:
            logs = traces.temp.glob("winserve-*/logs/access.log")
            return any(log.stat().st_size > 10_000 for log in logs)

        run.until(flows, "no load")
        assert len(traces.look()) >= 3
        names = traces.lines()
        assert sum("pytest_winserve.system.guard" in name for name in names) == 1
        assert any("pytest_winserve.load.engines.builtin.worker" in name for name in names)
        return run

    return loading


@posix
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_pytest_is_killed_during_a_load(
    traces: Traces, loading: Callable[..., Started], number: str
) -> None:
    run = loading(f"--winserve-app={APP}")
    run.process.send_signal(getattr(signal, number))
    assert run.process.wait() == -getattr(signal, number)
    traces.gone()


@posix
def test_ctrl_c_during_a_load(traces: Traces, loading: Callable[..., Started]) -> None:
    run = loading()
    signal_group(run, signal.SIGINT)
    assert run.process.wait(60) == pytest.ExitCode.INTERRUPTED
    traces.gone()
    assert "KeyboardInterrupt" in run.text()
    assert "Traceback" not in run.text()


@posix
@pytest.mark.parametrize("tool", ["pytest", "up"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_the_end_while_a_site_starts(
    tmp_path: Path, traces: Traces, start: Start, tool: str, number: str
) -> None:
    (tmp_path / "shop.py").write_text(f"import apps.children\napps.children.far()\n{HANGS}")
    (tmp_path / "test_start.py").write_text("def test_start(winserve): ...\n")
    if tool == "pytest":
        run = start("pytest", *PYTEST_OPTIONS, "--winserve-app=shop:app")
    else:
        run = start("winserve", "up", "nginx4", "--app", "shop:app")
    run.until((tmp_path / "loading").exists, "never loaded the app")
    run.process.send_signal(getattr(signal, number))
    run.process.wait(60)
    traces.gone()


@posix
@pytest.mark.parametrize("topology", ["gunicorn:workers=3", "nginx2-uwsgi:processes=2"])
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_the_end_of_a_server_that_forks(
    traces: Traces, start: Start, number: str, topology: str
) -> None:
    up_until(number, topology, traces, start)


@posix
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_end_of_winserve_up(traces: Traces, start: Start, number: str) -> None:
    app = "pytest_winserve.sample_app:app" if number == "SIGINT" else APP
    run = start("winserve", "up", "nginx2", "--app", app)
    run.wait_for("(Ctrl-C stops it)")
    assert len(traces.look()) == 3
    signal_group(run, getattr(signal, number))
    status = run.process.wait(60)
    traces.gone()
    if number == "SIGINT":
        assert status == 0
        assert "stopping" in run.text()
        assert "Traceback" not in run.text()


def test_winserve_up_ends_with_its_backend(traces: Traces, start: Start) -> None:
    run = start("winserve", "up", "flask")
    run.wait_for("  backend-0: pid ")
    pid = int(run.text().partition("backend-0: pid ")[2].split()[0])
    psutil.Process(pid).kill()
    assert run.process.wait(60) == 1
    assert f"winserve: backend-0 (pid {pid}) " in run.text()
    assert "Traceback" not in run.text()
    traces.gone()


ENDS = """
def test_good(winserve):
    assert winserve.get("/test").status_code == 200

def test_bad(winserve):
    assert winserve.load(users=2, count=5).sent == 6

def test_worse(winserve_factory):
    site = winserve_factory("flask").__enter__()
    raise SystemExit("out")
"""


def test_good_and_failing_ends(tmp_path: Path, traces: Traces) -> None:
    (tmp_path / "test_ends.py").write_text(ENDS)
    done = run_pytest("--winserve-topology=nginx1")
    traces.gone()
    assert done.status == 1
    assert "2 failed, 1 passed" in done.out
    # The end of each log is a section of the failing test's report.
    assert "winserve nginx1: backend-0" in done.out
    assert 'GET /test HTTP/1.1" 200' in done.out


@posix
def test_xdist_is_killed(tmp_path: Path, traces: Traces, start: Start) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_load.py").write_text(LOADS)
    run = start("pytest", *PYTEST_OPTIONS, "-n", "2", "--winserve-topology=flask,nginx1")
    run.until(lambda: len(traces.look()) >= 3, "no site")
    run.process.kill()
    run.process.wait()
    traces.gone(20)  # its workers notice it after execnet's own five seconds
