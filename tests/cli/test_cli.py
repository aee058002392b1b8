"""The command `winserve`, in processes of its own, with its exit statuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests
from click import Group

from pytest_winserve import Lab
from pytest_winserve.cli import cli
from pytest_winserve.report.store import read_json
from pytest_winserve.version import __version__
from tests.kit.commands import clean_environment, command_line, winserve
from tests.kit.platforms import not_on_windows, not_on_wine
from tests.kit.waiting import eventually


def test_check_passes_and_writes_its_report(tmp_path: Path) -> None:
    done = winserve(
        "check", "tornado", "--slow=/sleep?seconds=0.4", "--users=2", "--duration=0.3",
        "--require=status(200) == 100%", f"--report={tmp_path / 'out'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.out + done.err
    assert "4 passed" in done.out
    tests = read_json(tmp_path / "out" / "results.json")["tests"]
    assert [test["topology"] for test in tests] == ["tornado"] * 4


def test_check_fails_with_status_1(tmp_path: Path) -> None:
    done = winserve(
        "check", "tornado", "--slow=/sleep?seconds=0.4", "--users=2", "--duration=0.3",
        "--require=capacity >= 2", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1
    assert "capacity >= 2: measured 1" in done.out


def test_load_of_a_topology(tmp_path: Path) -> None:
    done = winserve(
        "load", "nginx2", "--users=2", "--count=40", "--path=/misbehave?status=404",
        "--no-keepalive", f"--report={tmp_path / 'out'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 0, done.err
    (test,) = read_json(tmp_path / "out" / "results.json")["tests"]
    (result,) = test["results"]
    assert result["outcomes"] == {"404": 40}
    assert result["plan"]["keepalive"] is False
    assert result["ledger"]["unaccounted"] == 0
    assert max(map(len, done.out.partition("winserve: report")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("require", "status"),
    [("status(200) == 100%", 0), ("status(200) < 1%", 1), ("capacity > 1", 1)],
)
def test_criteria_decide_the_status_of_a_load(tmp_path: Path, require: str, status: int) -> None:
    done = winserve("load", "flask", "--count=10", f"--require={require}", cwd=tmp_path)
    assert done.status == status, done.err


def test_a_criterion_that_fails_shows_what_it_is_about(tmp_path: Path) -> None:
    done = winserve(
        "load", "nginx2-waitress", "--users=2", "--count=40", "--path=/misbehave?status=503",
        "--require=error_rate < 1%", "--require=rate > 0", cwd=tmp_path,
    )  # fmt: skip
    assert done.status == 1, done.err
    for part in (
        "1 of 2 criteria failed:",
        "error_rate < 1%: measured 100%, n=40, 95% interval 91.2% to 100%",
        "errors: 40, of them 503 40",
        "errors by backend: 0 20 of 20, 1 20 of 20; 0 not answered by a backend",
    ):
        assert part in done.out


def test_a_load_without_any_answer_is_status_1(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, but not listening
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = winserve("load", url, "--users=2", "--count=6", cwd=tmp_path)
    assert done.status == 1, done.out + done.err
    assert "sent 6, answered 0, errors 6 (100 %)" in done.out
    assert f"winserve: nothing was answered by {url}" in done.out


# Shows the progress of a load also where nobody looks.
SHOWN = "import sys; sys.stderr.isatty = lambda: True; from pytest_winserve.cli import main; main()"


@not_on_wine("does not tell the children of a process")
def test_a_load_that_lost_its_worker_is_status_1(lab: Lab, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    with (
        lab.serve("waitress") as site,
        shown.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SHOWN, "load", site.url, "--users=2", "--duration=60"],
            stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=tmp_path,
            env=clean_environment(),
        ) as process,
    ):  # fmt: skip
        # What it shows is what its worker has reported.
        eventually(lambda: re.search(r"\b[1-9]\d* sent", shown.read_text("utf-8")))
        (worker,) = psutil.Process(process.pid).children()
        worker.kill()
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "INCOMPLETE: 1 of 1 load worker were lost" in " ".join(out.split())


def test_load_of_a_url_that_is_served_already(lab: Lab, tmp_path: Path) -> None:
    with lab.serve("flask") as site:
        before = site.backends[0].requests or 0
        done = winserve(
            "load", f"{site.url}/misbehave?size=7", "--users=2", "--count=30", cwd=tmp_path
        )
        assert done.status == 0, done.err
        assert "sent 30, answered 30, errors 0" in done.out
        assert "your app" not in done.out + done.err
        assert site.backends[0].requests == before + 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("load", "flsk", "--count=1"), "nearest: flask"),
        (("load", "flask", "--count=1", "--users=0"), "users=0"),
        (("load", "flask", "--count=0"), "--count"),
        # Before the app is looked for.
        (("load", "flask", "--app=no_such:app", "--rate=-1"), "rate=-1.0: a number > 0 is needed"),
        (("load", "flask", "--app=no_such:app", "--path=test"), "a path starts with '/'"),
        (("compare", "flask", "flask", "--app=no_such:app", "--rate=0"), "rate=0.0"),
        (("load", "http://127.0.0.1:1/", "--count=1", "--require=eror_rate < 1"), "error_rate"),
        (("up", "nginx"), "nginx1, nginx4"),
        (("up",), "TOPOLOGY"),
        (("no-such-command",), "no-such-command"),
    ],
)
def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = winserve(*arguments, cwd=tmp_path)
    assert done.status == 2
    assert said in done.err


def test_something_missing_is_status_3(tmp_path: Path) -> None:
    done = winserve("load", "nginx1", "--count=1", "--nginx=/no/such/nginx", cwd=tmp_path)
    assert done.status == 3
    assert "to get it: " in done.err


def test_doctor(tmp_path: Path) -> None:
    done = winserve("doctor", cwd=tmp_path)
    assert done.status == 0, done.err
    states = {line.split()[1]: line.split()[0] for line in done.out.splitlines() if line[0] > " "}
    for name in ("winserve", "command", "flask", "tornado", "waitress", "nginx", "builtin"):
        assert states[name] == "ready"
    for name in ("gunicorn", "uwsgi"):
        assert states[name] == ("never" if sys.platform == "win32" else "ready")


@not_on_windows("the host ssh is for labs on Linux and macOS")
@pytest.mark.parametrize("command", [["doctor"], ["check", "all"], ["check"], ["recommend"]])
def test_a_host_that_cannot_be_used_is_told_once(tmp_path: Path, command: list[str]) -> None:
    """Not for each server of it, after another try."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho x >>{tmp_path}/tries\necho 'No route to host' >&2\nexit 255\n")
    ssh.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = winserve(*command, "--host", "ssh:nowhere", cwd=tmp_path, PATH=path)
    said = done.out + done.err
    assert done.status == 3, said
    assert said.count("to get it: see what `ssh nowhere` says") == 1, said
    assert (tmp_path / "tries").read_text() == "x\n"


@not_on_windows("Windows cannot send Ctrl-C to one process")
def test_up_tells_where_who_and_what_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command_line("winserve", "up", "nginx2"), stdout=file, stderr=subprocess.STDOUT,
            cwd=tmp_path, env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        ) as process,
    ):  # fmt: skip
        try:
            eventually(lambda: "backend-1: pid" in output.read_text(encoding="utf-8"))
            lines = output.read_text(encoding="utf-8").splitlines()
            url = next(word for word in lines[0].split() if word.startswith("http://"))
            assert lines[0] == f"nginx2 on {url} (Ctrl-C stops it)"
            pids = dict(line.strip().split(": pid ") for line in lines[1:4])
            assert list(pids) == ["nginx", "backend-0", "backend-1"]
            assert requests.get(f"{url}/test?shown", timeout=20).ok
            eventually(lambda: "GET /test?shown" in output.read_text(encoding="utf-8"))
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert output.read_text(encoding="utf-8").rstrip().endswith("stopping")
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.values())


def test_help_lists_every_command_and_option(tmp_path: Path) -> None:
    assert isinstance(cli, Group)
    top = winserve("--help", cwd=tmp_path)
    assert top.status == 0
    for name, command in cli.commands.items():
        assert f"  {name} " in top.out
        text = winserve(name, "-h", cwd=tmp_path).out
        for parameter in command.params:
            for option in parameter.opts:
                assert option in text or option == parameter.name
    assert winserve("--version", cwd=tmp_path).out.strip().endswith(__version__)
