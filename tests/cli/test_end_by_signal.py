"""A command that is asked to end by a signal stops what it has started, as it does on Ctrl-C."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_winserve.errors import UsageError
from pytest_winserve.system.ports import bound_socket
from tests.kit.commands import PYTEST_OPTIONS, Start, Started
from tests.kit.components import needs
from tests.kit.fixtures import SLOW
from tests.kit.platforms import not_on_windows
from tests.kit.traces import Traces
from tests.kit.waiting import eventually

pytestmark = [
    needs("minutes"),
    pytest.mark.usefixtures("traces"),
    not_on_windows("Windows has no signals to end another process in order"),
]

UP = "(Ctrl-C stops it)"
SECONDS = 60.0
"""More than any command takes to end."""
LOADS = """
import time
def test_load(winserve):
    winserve.load(users=1, count=10)
    open("loaded", "w").close()
    time.sleep(600)
"""


def port_of(run: Started) -> int:
    found = re.search(r" on http://127\.0\.0\.1:(\d+) ", run.text())
    assert found is not None
    return int(found[1])


def is_free(port: int) -> bool:
    try:
        bound_socket(port).close()
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("topology", ["flask", "nginx2-tornado"])
def test_up_is_asked_to_end(traces: Traces, start: Start, topology: str) -> None:
    run = start("winserve", "up", topology)
    run.wait_for(UP)
    traces.look()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SECONDS) == 0
    assert run.text().splitlines()[-1] == "stopping"
    assert "Traceback" not in run.text()
    traces.gone()  # and no folder is left
    # Another program may have it for a moment: whoever connects gets a number like it.
    eventually(lambda: is_free(port_of(run)))


def test_up_is_asked_to_end_while_the_app_loads(
    tmp_path: Path, traces: Traces, start: Start
) -> None:
    (tmp_path / "shop.py").write_text(
        "import time\nopen('loading', 'w').close()\ntime.sleep(600)\n"
    )
    run = start("winserve", "up", "nginx2", "--app", "shop:app")
    run.until((tmp_path / "loading").exists, "never loaded the app")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SECONDS) == 1
    assert run.text().split() == ["Aborted!"]
    traces.gone()


@pytest.mark.parametrize(
    ("command", "status", "last"),
    [
        (("load", "flask", "--duration", "600"), 1, "Aborted!"),
        (("compare", "flask", "tornado", "--duration", "600"), 1, "Aborted!"),
        (("check", "nginx2", "--duration", "600", "--slow", SLOW), 2, " passed in "),
    ],
    ids=["load", "compare", "check"],
)
def test_a_load_of_a_command_is_asked_to_end(
    traces: Traces, start: Start, command: tuple[str, ...], status: int, last: str
) -> None:
    run = start("winserve", *command, "--users", "1")
    run.until(lambda: bool(senders(traces)), "no load")
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SECONDS) == status
    assert last in run.text().splitlines()[-1]
    assert "Traceback" not in run.text()
    traces.gone()


def senders(traces: Traces) -> list[str]:
    """The command lines of what sends a load."""
    worker = "pytest_winserve.load.engines.builtin.worker"
    return [line for line in traces.lines() if worker in line]


def test_pytest_ends_at_once_and_the_guard_ends_its_site(
    tmp_path: Path, traces: Traces, start: Start
) -> None:
    (tmp_path / "test_load.py").write_text(LOADS)
    run = start("pytest", *PYTEST_OPTIONS, "--winserve-topology=nginx2")
    run.until((tmp_path / "loaded").exists, "no load")
    traces.look()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(SECONDS) == -signal.SIGTERM
    traces.gone()


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """What is started meanwhile ignores a signal, as a job in the background of a script does."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_up_in_the_background_of_a_script_is_asked_to_end(
    traces: Traces, start: Start, name: str
) -> None:
    with ignored(signal.SIGINT):
        run = start("winserve", "up", "nginx2")
    run.wait_for(UP)
    run.process.send_signal(getattr(signal, name))
    assert run.process.wait(SECONDS) == 0
    assert run.text().splitlines()[-1] == "stopping"
    traces.gone()
