"""Ctrl-C ends a command and all that it has started, whatever it is doing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.kit.commands import PYTEST_OPTIONS, Start
from tests.kit.components import needs
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Traces

pytestmark = [
    needs("minutes"),
    pytest.mark.usefixtures("traces"),
    not_on_windows("Windows has no signals to another process"),
]

SECONDS = 60.0
"""Less than any of these waits for by itself, and more than a command takes to end."""

HANGS = """
import pathlib, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        pathlib.Path("asked").touch()
        time.sleep(600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/events":
        return events()
    return [b"done"]

def events():
    yield b"the first"
    pathlib.Path("asked").touch()
    time.sleep(600)
    yield b"the last"
"""
PROBES = """
def test_probe(winserve):
    winserve.probe(slow="/hang", fast="/")
"""
WAITS = """
import pathlib, time
def test_waits(winserve):
    pathlib.Path("asked").touch()
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _app(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(HANGS)


APP = ("--app", "shop:app")
PROBE = ("recommend", "waitress", *APP, "--fast", "/")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("load", "waitress", *APP, "--fast", "/hang"), 1),
        (("load", "nginx2-tornado", *APP, "--fast", "/hang"), 1),
        (("load", "waitress", *APP, "--fast", "/events"), 1),
        ((*PROBE, "--slow", "/hang"), 1),
        ((*PROBE, "--slow", "/events"), 1),
        ((*PROBE, "--slow", "/hang", "--require", "capacity > 0"), 1),
        (("check", "nginx2", *APP, "--fast", "/", "--slow", "/hang"), 2),
        (("load", "flask", *APP, "--fast", "/", "--path", "/hang", "--users", "2"), 1),
    ],
    ids=["start", "start of a front", "body of a start", "probe", "body of a probe", "capacity",
         "check", "load"],
)  # fmt: skip
def test_at_any_moment(
    tmp_path: Path, traces: Traces, start: Start, command: tuple[str, ...], status: int
) -> None:
    run = start("winserve", *command, "--start-timeout", "600")
    run.until((tmp_path / "asked").exists, "the app was never asked")
    traces.look()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(SECONDS) == status
    assert "Traceback" not in run.text()
    traces.gone()


def test_while_a_site_stops(traces: Traces, start: Start) -> None:
    run = start("winserve", "up", "nginx1-flask", "--app", "apps.stubborn:thread()")
    run.wait_for("(Ctrl-C stops it)")
    run.process.send_signal(signal.SIGINT)
    run.wait_for("stopping")
    traces.look()
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(SECONDS) == 1
    assert "ignored the request to stop" not in run.text()
    assert "Traceback" not in run.text()
    traces.gone()


@pytest.mark.parametrize("test", [PROBES, WAITS], ids=["in a probe", "in a test"])
def test_a_run_of_pytest_does_not_ask_its_sites_how_they_stop(
    tmp_path: Path, traces: Traces, start: Start, test: str
) -> None:
    """Nothing that pytest does at its end waits for a site that does not want to end."""
    (tmp_path / "test_shop.py").write_text(test)
    app = "shop:app" if test is PROBES else "apps.stubborn:thread()"
    options = (f"--winserve-app={app}", "--winserve-topology=waitress", "--winserve-fast=/")
    run = start("pytest", *PYTEST_OPTIONS, *options)
    run.until((tmp_path / "asked").exists, "the test never came so far")
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(SECONDS) == pytest.ExitCode.INTERRUPTED
    text = run.text()
    assert "KeyboardInterrupt" in text
    assert "stop" not in text
    assert "died" not in text
    traces.gone()
