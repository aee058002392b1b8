"""The time that a site has to come up can be set wherever settings are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.commands import run_pytest, winserve
from tests.kit.components import needs
from tests.kit.traces import Traces

pytestmark = needs("minutes")

NEVER = "import time\ntime.sleep(600)\n"
SLOW = """
import time
time.sleep(1.5)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""
TESTS = """
import pytest

def test_in_time(winserve):
    pass

@pytest.mark.winserve(topology="waitress", start_timeout=90)
def test_with_more_time(winserve):
    assert winserve.get("/test").ok

def test_a_factory_with_more_time(winserve_factory):
    with winserve_factory("flask", start_timeout=90) as site:
        assert site.get("/test").ok
"""
TOLD = "was not ready in time: it still loads; --start-timeout gives it longer"


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("up", "flask"), 1),
        (("load", "flask"), 1),
        (("compare", "flask", "tornado"), 1),
        (("recommend", "flask"), 1),
        (("check", "flask"), 1),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_every_command_that_starts_a_site_takes_it(
    tmp_path: Path, traces: Traces, command: tuple[str, ...], status: int
) -> None:
    (tmp_path / "shop.py").write_text(NEVER)
    done = winserve(*command, "--app", "shop:app", "--start-timeout", "0.6")
    assert done.status == status, done
    assert TOLD in " ".join((done.out + done.err).split())
    traces.gone()


def test_the_variable_is_read_by_a_command(tmp_path: Path, traces: Traces) -> None:
    (tmp_path / "shop.py").write_text(NEVER)
    done = winserve("load", "flask", "--app", "shop:app", WINSERVE_START_TIMEOUT="0.6")
    assert TOLD in done.err
    traces.gone()


@pytest.mark.parametrize("command", [("load", "flask"), ("article",)], ids=" ".join)
def test_a_time_that_cannot_be_is_wrong_usage(traces: Traces, command: tuple[str, ...]) -> None:
    done = winserve(*command, "--start-timeout", "0")
    assert (done.status, done.out) == (2, "")
    assert "--start-timeout: start_timeout=0: a number of seconds greater than 0" in done.err
    traces.nothing_started()


def test_the_marker_and_the_factory_give_more_than_the_ini_file(
    tmp_path: Path, traces: Traces
) -> None:
    (tmp_path / "shop.py").write_text(SLOW)
    (tmp_path / "test_shop.py").write_text(TESTS)
    ini = "[pytest]\npythonpath = .\nwinserve_app = shop:app\nwinserve_topology = tornado\n"
    (tmp_path / "pytest.ini").write_text(f"{ini}winserve_start_timeout = 0.6\n")
    done = run_pytest("-ra")
    assert "2 passed, 1 error" in done.out, done.out
    assert TOLD in " ".join(done.out.split())
    assert "1 passed" in run_pytest("-k", "in_time", "--winserve-start-timeout=90").out
    traces.gone()
