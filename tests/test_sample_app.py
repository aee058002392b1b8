"""The sample app does what the URL says, on each server, as a raw socket sees it."""

from __future__ import annotations

import importlib.metadata
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.errors import AppError
from pytest_winserve.sample_app import app
from pytest_winserve.servers import get_server, require_sample_app
from pytest_winserve.shipping.app_python import AppPython
from pytest_winserve.tags import TOTALS
from tests.kit.platforms import WINE, shows_resets
from tests.kit.raw_client import Reply, exchange
from tests.kit.waiting import eventually

SERVERS: tuple[str, ...] = ("flask", "tornado", "waitress")
if sys.platform != "win32":
    SERVERS += ("gunicorn", "gunicorn:workers=2:threads=4", "uwsgi")
# Tornado's WSGIContainer joins the parts of a body before it sends any of them.
JOINS = "tornado"
# uWSGI sends parts as they come, up to the connection's end, and its sockets are not Python's.
ENDS = HIDES = "uwsgi"


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Site]:
    with lab.serve(request.param) as site:
        yield site


def misbehave(site: Site, query: str, patience: float = 20) -> Reply:
    return exchange(site.deployment.address[1], f"/misbehave?{query}", patience)


def server(site: Site) -> str:
    return site.topology.server


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500, 503, 599])
def test_status(site: Site, status: int) -> None:
    reply = misbehave(site, f"status={status}")
    assert (reply.status, reply.body, reply.ended) == (status, b"", "end")


def test_delay(site: Site) -> None:
    answer = site.get("/misbehave?delay=0.3&size=2")
    assert answer.content == b"xx"
    # Never sooner; a sleep may end a tick of the system's clock early.
    assert answer.elapsed.total_seconds() > 0.25


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
def test_size(site: Site, size: int) -> None:
    reply = misbehave(site, f"size={size}")
    assert reply.headers["content-length"] == str(size)
    assert (reply.body, reply.ended) == (b"x" * size, "end")


@pytest.mark.parametrize(("size", "chunks"), [(1000, 1), (1000, 5), (1001, 7), (3, 5), (0, 3)])
def test_chunks(site: Site, size: int, chunks: int) -> None:
    reply = misbehave(site, f"size={size}&chunks={chunks}")
    assert (reply.body, reply.ended) == (b"x" * size, "end")
    if server(site) == JOINS:
        assert reply.headers["content-length"] == str(size)
    elif server(site) == ENDS:
        assert "transfer-encoding" not in reply.headers
    else:
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.raw_body.count(b"\r\nx") == min(size, chunks)


def test_declare_more_than_there_is(site: Site) -> None:
    reply = misbehave(site, "declare=10&size=4")
    assert reply.headers["content-length"] == "10"
    assert (reply.body, reply.ended) == (b"xxxx", "end")


def test_declare_less_than_there_is(site: Site) -> None:
    reply = misbehave(site, "declare=2&size=4")
    assert reply.ended == "end"
    # What a server makes of it is its own choice; that it can be ordered is the app's.
    expected = {
        "flask": b"xxxx", "waitress": b"xx", "tornado": b"", "gunicorn": b"xx", "uwsgi": b"xxxx",
    }  # fmt: skip
    assert reply.raw_body == expected[server(site)]


def test_reset_before_the_headers(site: Site) -> None:
    if server(site) == HIDES:
        assert misbehave(site, "reset=headers").status == 501
        return
    reply = misbehave(site, "reset=headers&size=1000")
    assert (reply.data, reply.ended) == (b"", "reset")


@shows_resets
@pytest.mark.parametrize(("size", "chunks"), [(1000, 0), (100_000, 4)])
def test_reset_in_the_body(site: Site, size: int, chunks: int) -> None:
    if server(site) == HIDES:
        assert misbehave(site, "reset=headers").status == 501
        return
    reply = misbehave(site, f"reset=body&size={size}&chunks={chunks}")
    assert reply.ended == "reset"
    # What a reset leaves unread at the client is lost, so less than half may have come.
    assert reply.data.count(b"x" * 100) <= size // 2 // 100


def test_resets_do_not_touch_the_connections_after_them(site: Site) -> None:
    if server(site) == HIDES:
        assert misbehave(site, "reset=headers").status == 501
        return
    for _ in range(5):
        assert misbehave(site, "reset=headers").ended == "reset"
        assert misbehave(site, "size=5").body == b"xxxxx"
        assert misbehave(site, "reset=body&size=10").ended in ("reset", "end" if WINE else "")
        assert misbehave(site, "size=6").body == b"xxxxxx"
    assert site.deaths() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_any_method(site: Site, method: str) -> None:
    answer = site.client.request(method, "/misbehave?status=418&size=2", data=b"a body")
    assert (answer.status_code, answer.content) == (418, b"xx")


def test_answers_name_process_and_thread(site: Site) -> None:
    backend = psutil.Process(site.backends[0].pid)
    serving = {process.pid for process in backend.children()} or {backend.pid}
    for path in ("/", "/test", "/sleep?seconds=0.01"):
        who = site.get(path).json()
        assert who["pid"] in serving
        assert isinstance(who["thread"], int)
        assert who["name"]
    assert site.get("/sleep?seconds=0.02").json()["slept"] == 0.02


@pytest.mark.parametrize("moment", ["headers", "body"])
@pytest.mark.parametrize("topology", SERVERS)
def test_hang(lab: Lab, topology: str, moment: str) -> None:
    replies: list[Reply] = []
    with lab.serve(topology) as site:
        thread = threading.Thread(
            target=lambda: replies.append(misbehave(site, f"hang={moment}&size=1000", 1.0))
        )
        thread.start()
        eventually(lambda: site.deployment.in_flight(TOTALS) == 1)
        thread.join()
        # The client has given up, the app has not.
        assert site.deployment.in_flight(TOTALS) == 1
        assert replies[0].ended == "timeout"
        if moment == "headers" or topology == JOINS:
            assert replies[0].data == b""
        else:
            assert replies[0].body == b"x" * 500
    # Closing the site did not wait for it, and found nothing to blame.


@pytest.mark.parametrize(("topology", "status"), [("flask", 7), ("tornado", 0), ("waitress", 255)])
def test_crash(lab: Lab, topology: str, status: int) -> None:
    with lab.serve(topology) as site:
        pid = site.backends[0].pid
        reply = misbehave(site, f"crash={status}")
        assert (reply.data, reply.ended) == (b"", "end")
        deaths = eventually(site.deaths)
        assert deaths == [f"backend-0 (pid {pid}) exited with status {status}"]
        assert site.backends[0].requests == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("statsu=500", "unknown: statsu; known: chunks, crash, declare, delay"),
        ("status=199", "status=199: a number from 200 to 599"),
        ("status=600", "status=600"),
        ("status=200.5", "status=200.5: a whole number"),
        ("size=-1", "size=-1"),
        ("size=many", "size=many"),
        ("delay=3601", "delay=3601"),
        ("delay=nan", "delay=nan"),
        ("chunks=100001", "chunks=100001"),
        ("crash=256", "crash=256: a number from 0 to 255"),
        ("hang=later", "hang=later: one of headers, body"),
        ("reset=now", "reset=now: one of headers, body"),
    ],
)
def test_orders_that_cannot_be(query: str, said: str) -> None:
    answer = app.test_client().get(f"/misbehave?{query}")
    assert answer.status_code == 400
    assert said in answer.text


HALF_MADE = """
import gc, weakref
from pytest_winserve.sample_app import app as sample
{imports}

class Gone:
    pass

def app(environ, start_response):
    # What is older comes later: all that is there already is passed on to the oldest generation.
    gc.collect()
    half_made = {kind}.__new__({kind})
    proxy = weakref.proxy(Gone())
    held = [half_made, proxy]
    yield from sample(environ, start_response)
"""


@pytest.mark.parametrize(
    ("server", "imports", "kind"),
    [
        ("tornado", "from tornado.iostream import IOStream", "IOStream"),
        ("waitress", "from waitress.channel import HTTPChannel", "HTTPChannel"),
    ],
)
def test_a_connection_that_is_being_made_keeps_no_other_from_being_reset(
    lab: Lab, tmp_path: Path, server: str, imports: str, kind: str
) -> None:
    (tmp_path / "half.py").write_text(HALF_MADE.format(imports=imports, kind=kind))
    with lab.serve(server, app=f"{tmp_path / 'half.py'}:app", fast="/test") as site:
        assert misbehave(site, "reset=headers").ended == "reset"


OTHER = """
import atexit, os, socket
from pytest_winserve.sample_app import app

class Other(socket.socket):
    def getpeername(self):
        os._exit(1)  # as what runs under Wine 10 has ended when it was asked

held = Other()
atexit.register(held.close)
"""


@pytest.mark.parametrize("server", [name for name in ("flask", "gunicorn") if name in SERVERS])
def test_a_reset_asks_no_connection_of_others_where_the_server_says_which_it_is(
    lab: Lab, tmp_path: Path, server: str
) -> None:
    (tmp_path / "other.py").write_text(OTHER)
    with lab.serve(server, app=f"{tmp_path / 'other.py'}:app", fast="/test") as site:
        before = site.get("/test").json()["pid"]
        assert misbehave(site, "reset=headers").ended == "reset"
        assert site.get("/test").json()["pid"] == before


def test_a_reset_where_the_connection_is_unknown_says_so() -> None:
    answer = app.test_client().get("/misbehave?reset=headers")
    assert answer.status_code == 501
    assert "which connection" in answer.text


def test_without_flask_it_says_what_it_needs_before_anything_starts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def without_flask(name: str) -> str:
        if name == "flask":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_flask)
    with pytest.raises(AppError) as caught:
        lab.serve("waitress")
    assert str(caught.value) == (
        "the sample app needs Flask: the Python package flask is not installed\n  to get it: "
        'python -m pip install "pytest-winserve[flask]"; or name your app by --app'
    )


def test_another_python_needs_flask_for_it_unless_it_is_lent_with_the_server() -> None:
    has = {"flask": "1.1"}
    python = AppPython("/venv/bin/python", "3.12.1", "/venv", ("cpython-312",), has)
    with pytest.raises(AppError) as caught:
        require_sample_app(get_server("waitress"), python)
    assert str(caught.value) == (
        "the sample app needs Flask: flask 1.1 in /venv is too old, 2.0 or later is needed\n"
        '  to get it: /venv/bin/python -m pip install "flask>=2.0"; or name your app by --app'
    )
    has.clear()
    with pytest.raises(AppError, match="flask is not installed in /venv"):
        require_sample_app(get_server("waitress"), python)
    require_sample_app(get_server("flask"), python)
