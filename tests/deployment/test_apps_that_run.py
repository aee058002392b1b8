"""Apps that come up, and are hard to live with or to stop."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Site
from pytest_winserve.errors import StartError, StopError
from pytest_winserve.system.locks import shared_folder
from pytest_winserve.system.process_tree import alive
from tests.kit.traces import Serve, Traces
from tests.kit.waiting import eventually

pytestmark = pytest.mark.usefixtures("traces")

POSIX = sys.platform != "win32"
FORKING = ("gunicorn:workers=2", "uwsgi:processes=2") if POSIX else ()


def test_a_flood_of_output(serve: Serve) -> None:
    with serve("flask", "apps.flood:app") as site:
        assert site.get("/test").json() == "flooded"
        logs = site.logs()
        assert {name: len(text) < 10_000 for name, text in logs.items()} == {"backend-0": True}
        assert "GET /test" in logs["backend-0"]


@pytest.mark.parametrize("topology", ["waitress", "tornado", *FORKING])
@pytest.mark.parametrize("how", ["files", "nothing"])
def test_closed_standard_streams(serve: Serve, topology: str, how: str) -> None:
    with serve(topology, f"apps.closed:{how}()") as site:
        assert [site.get("/test").json() for _ in range(2)] == ["closed"] * 2


@pytest.mark.skipif(not POSIX, reason="platform: gunicorn does not run on Windows")
def test_what_a_server_logs_after_its_app_has_closed_the_log_is_in_the_log(serve: Serve) -> None:
    with serve("gunicorn:workers=2", "apps.closed:files()") as site:
        eventually(lambda: "Booting worker" in site.logs()["backend-0"])


def test_an_app_that_closes_the_standard_streams_and_then_fails(
    tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "shop.py").write_text("import apps.closed\napps.closed.files()\n1 / 0\n")
    with pytest.raises(StartError, match="ZeroDivisionError") as caught:
        serve("flask", "shop:app")
    assert "1 / 0" in str(caught.value)


@pytest.mark.parametrize("topology", ["waitress", "tornado"])
def test_closed_objects_of_the_standard_streams(serve: Serve, topology: str) -> None:
    with serve(topology, "apps.closed:objects()") as site:
        assert [site.get("/test").json() for _ in range(2)] == ["closed"] * 2


def test_closed_standard_streams_of_a_server_that_writes_to_them(serve: Serve) -> None:
    # Werkzeug logs each request before it answers, and gives up when it cannot.
    with pytest.raises(StartError) as caught:
        serve("flask", "apps.closed:objects()", start_timeout=5)
    assert "in time: Remote end closed connection without response" in str(caught.value)


@pytest.mark.parametrize(
    "how", ["near", "listening", *(["far", "hidden"] if POSIX else [])]
)  # fmt: skip
def test_a_child_that_survives_is_reported_and_killed(
    serve: Serve, traces: Traces, how: str
) -> None:
    site = serve("flask", f"apps.children:{how}()")
    child = psutil.Process(site.get("/test").json())
    with pytest.raises(StopError) as caught:
        site.close()
    assert "flask did not stop as it should:" in str(caught.value)
    assert "left a process behind, which was killed: " in str(caught.value)
    assert f"pid {child.pid} (" in str(caught.value)
    assert not alive(child)
    traces.gone()


def test_a_child_of_an_app_that_fails_to_load(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text("import apps.children\napps.children.far()\n1 / 0\n")
    with pytest.raises(StartError, match="ZeroDivisionError"):
        serve("flask", "shop:app")


def test_apps_that_do_not_end_are_killed_and_reported(serve: Serve) -> None:
    sites = [serve("flask", f"apps.stubborn:{how}()") for how in ("thread", "at_exit")]

    def stop(site: Site) -> str:
        pid = site.deployment.pids()["backend-0"]
        with pytest.raises(StopError) as caught:
            site.close()
        assert f"backend-0 (pid {pid}) ignored the request to stop for 5 s and was killed" in str(
            caught.value
        )
        return str(caught.value)

    with ThreadPoolExecutor() as pool:
        assert len(set(pool.map(stop, sites))) == 2


@pytest.mark.parametrize("topology", ["nginx2", *FORKING])
def test_ignored_signals_do_not_matter(serve: Serve, topology: str) -> None:
    with serve(topology, "apps.stubborn:signals()") as site:
        assert site.get("/test").json() == "signals"


def test_another_current_folder(serve: Serve, tmp_path: Path) -> None:
    with serve("nginx2", "apps.moved:app") as site:
        assert Path(site.get("/test").json()).name.startswith("moved-")
        assert [backend.requests for backend in site.backends] != [0, 0]


HOSTILE = 'it\'s; a "shop" $HOME\n%20 #{} ü' if POSIX else "it's; a shop $HOME %20 #{} ü"


def test_a_hostile_folder(
    tmp_path: Path, serve: Serve, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    (folder / "shop.py").write_text(
        "from apps.answer import answering\napp = answering(lambda environ: __file__)\n"
    )
    monkeypatch.chdir(folder)
    temp = traces.temp / HOSTILE  # nginx runs in it
    temp.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    with serve("nginx2", "shop:app") as site:
        assert Path(site.get("/test").json()) == folder / "shop.py"
        assert site.load(users=2, count=10, path="/").outcomes == {"200": 10}
    assert [path.name for path in temp.iterdir()] == [shared_folder().name]
