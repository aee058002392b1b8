"""Wrong usage, from the command line, the environment and the ini file alike: refused with its own
exit status before anything starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_winserve import Lab
from pytest_winserve.cli import cli
from pytest_winserve.errors import UsageError
from tests.kit.commands import clean_environment, run_pytest, winserve
from tests.kit.traces import Serve, Traces

pytestmark = pytest.mark.usefixtures("traces")

# Setting, its value, what the message says.
WRONG = [
    ("topology", "flaks", "unknown server 'flaks' at character 1; nearest: flask"),
    ("topology", "flask,tornadoo", "unknown server 'tornadoo' at character 1; nearest: tornado"),
    ("topology", "ngimx4", "unknown front 'ngimx' at character 1; nearest: nginx"),
    ("topology", "nginx0", "0 backends at character 6: 1 to 64 are possible"),
    ("topology", "nginx65", "65 backends at character 6: 1 to 64 are possible"),
    ("topology", "nginx", "'nginx' needs a number of backends: nginx1, nginx4"),
    ("topology", "nginx4-", "unknown server '' at character 8"),
    ("topology", "flask4", "a number of backends needs a front: nginx4-flask"),
    ("topology", "flask:thread=1", "flask has no option 'thread' (at character 7); nearest: thr"),
    ("topology", "flask:threaded=2", "threaded='2' is not true or false (at character 7)"),
    ("topology", "waitress:threads=many", "threads='many' is not a whole number (at character 10)"),
    ("topology", "waitress:threads=0", "threads=0 is out of range: 1 to 1000 (at character 10)"),
    ("topology", "flask:front.keepalive=1", "is an option of a front, and there is no front"),
    ("topology", "nginx2:front.keepalife=1", "nginx has no option 'keepalife'"),
    ("topology", "command", "the server `command` needs a command line"),
    ("topology", ",", "T[,T...] is empty"),
    ("host", "locale", "unknown host 'locale'; nearest: local"),
    ("host", "local:there", "the host local takes no argument"),
    ("engine", "jmeter", "unknown engine 'jmeter'"),
    ("users", "0", "users=0: a whole number of at least 1 is needed"),
    ("users", "1.5", "users=1.5: a whole number of at least 1 is needed"),
    ("duration", "-1", "duration=-1: a number of seconds greater than 0 is needed"),
    ("duration", "nan", "duration=nan: a number of seconds greater than 0 is needed"),
    ("require", "error_rat < 1%", "error_rat"),
    ("require", "error_rate < 1.5", "error_rate"),
    ("require", "p95 < 500", "p95"),
    ("slow", "/a b", "'/a b': a path starts with '/' and has no spaces"),
    ("fast", "test", "'test': a path starts with '/'"),
]

# Runs pytest once for each list of arguments, in one process, and prints [status, stderr] of each.
MANY = """
import contextlib, io, json, os, sys
import pytest

found = []
for arguments, environment, ini in json.load(sys.stdin):
    open("pytest.ini", "w").write("[pytest]\\n" + ini)
    os.environ.update(environment)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = pytest.main(["-p", "no:cacheprovider", *arguments])
    found.append([int(status), err.getvalue(), out.getvalue()])
    for name in environment:
        del os.environ[name]
json.dump(found, sys.stdout)
"""


def outcomes(runs: list[Any]) -> list[tuple[int, str, str]]:
    """(exit status, standard error, standard output) of a pytest for each of these runs."""
    done = subprocess.run(
        [sys.executable, "-c", MANY], input=json.dumps(runs), capture_output=True, text=True,
        check=True, env=clean_environment(),
    )  # fmt: skip
    found: list[tuple[int, str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("source", ["command line", "environment", "ini"])
def test_pytest_refuses_it(tmp_path: Path, traces: Traces, source: str) -> None:
    (tmp_path / "test_shop.py").write_text("def test_one(winserve): ...\n")
    runs: list[Any] = []
    for name, value, _ in WRONG:
        if source == "command line":
            runs.append(([f"--winserve-{name}={value}"], {}, ""))
        elif source == "environment":
            runs.append(([], {f"WINSERVE_{name.upper()}": value}, ""))
        else:
            runs.append(([], {}, f"winserve_{name} = {value}\n"))
    for (name, value, message), (status, err, out) in zip(WRONG, outcomes(runs), strict=True):
        case = f"{name}={value}:\n{err}{out}"
        assert status == pytest.ExitCode.USAGE_ERROR, case
        assert err.startswith("ERROR: "), case
        assert message in err, case
        assert "Traceback" not in err + out, case
        assert "INTERNALERROR" not in err + out, case
    traces.nothing_started()


@pytest.mark.parametrize("source", ["command line", "environment"])
def test_winserve_refuses_it(traces: Traces, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    for name, value, message in WRONG:
        arguments = ["load", value if name == "topology" else "flask", "--count=1"]
        if name == "topology" and ("," in value or source == "environment"):
            continue  # it is an argument here, and one only
        if name == "slow" and source == "command line":
            continue  # what a load has no use for is no option of it
        with monkeypatch.context() as context:
            if source == "environment":
                context.setenv(f"WINSERVE_{name.upper()}", value)
            elif name != "topology":
                arguments.append(f"--{name}={value}")
            done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 2, (name, value, done.output)
        assert message in done.output
        assert "Traceback" not in done.output
    traces.nothing_started()


def test_the_real_commands_have_these_statuses(tmp_path: Path, traces: Traces) -> None:
    for arguments in (["up", "flaks"], ["check", "flaks"], ["check", "--users", "0"], ["load"]):
        done = winserve(*arguments)
        assert done.status == 2, (arguments, done)
        assert "Traceback" not in done.out + done.err
    (tmp_path / "test_shop.py").write_text("def test_one(): ...\n")
    assert run_pytest("--winserve-topology=flaks").status == pytest.ExitCode.USAGE_ERROR
    traces.nothing_started()


@pytest.mark.skipif(sys.platform != "win32", reason="platform: only Windows refuses them")
@pytest.mark.parametrize("name", ["gunicorn", "uwsgi"])
def test_windows_refuses_servers_that_fork(traces: Traces, name: str) -> None:
    for arguments in (["check", name], ["up", f"nginx2-{name}"], ["load", name, "--count=1"]):
        done = winserve(*arguments)
        assert done.status == 2, (arguments, done)
        assert f"{name} does not run here: " in done.out + done.err
        assert "nginx4-waitress" in done.out + done.err
        assert "Traceback" not in done.out + done.err
    traces.nothing_started()


MARKERS = """
import pytest

@pytest.mark.winserve({})
def test_one(winserve): ...
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("topology='flaks'", "unknown server 'flaks'"),
        ("topology='command'", "needs a command line"),
        ("host='moon'", "unknown host 'moon'"),
        ("fast='/a b'", "has no spaces"),
        ("slow='test'", "starts with '/'"),
        ("users=5", "unexpected keyword argument 'users'"),
        ("'flask'", "takes 0 positional arguments"),
    ],
)
def test_markers(tmp_path: Path, traces: Traces, arguments: str, message: str) -> None:
    (tmp_path / "test_shop.py").write_text(MARKERS.format(arguments))
    ((status, err, out),) = outcomes([([], {}, "")])
    assert status in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR), out + err
    assert message in out + err
    assert "INTERNALERROR" not in out + err
    traces.nothing_started()


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "moon"},
        {"engine": "jmeter"},
        {"start_timeout": 0},
        {"start_timeout": float("nan")},
        {"require": ["error_rat < 1%"]},
    ],
)
def test_labs_that_cannot_be(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Lab(**arguments)


def test_calls_that_cannot_be_leave_the_site_as_it_is(serve: Serve) -> None:
    with serve("flask") as site:
        for plan in ({"users": 0, "duration": 1}, {"duration": -1}, {}, {"count": 1, "rate": -2},
                     {"count": 1, "engine": "jmeter"}, {"count": 1, "path": "/a b"}):  # fmt: skip
            with pytest.raises(UsageError):
                site.load(**plan)
        for call in (lambda: site.probe(sleepers=0), lambda: site.capacity(0),
                     lambda: site.probe(slow="/a b"), lambda: site.probe(fast="test")):  # fmt: skip
            with pytest.raises(UsageError):
                call()
        assert site.backends[0].requests == 0
        assert site.get("/test").status_code == 200
