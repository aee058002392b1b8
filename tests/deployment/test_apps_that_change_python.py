"""Apps that change, while they are imported, what their server is made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_winserve.errors import MissingComponent
from pytest_winserve.servers import get_server, require_server
from tests.kit.components import needs
from tests.kit.traces import Serve, Traces

pytestmark = needs("minutes")

PATCHED = """
from gevent import monkey
monkey.patch_all()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    return [b"patched"]
"""

# Granian waits for its end by an event of `threading`, which gevent refuses: by hand it ends, too.
SERVERS = ("flask", "tornado", "waitress", "gevent", "cheroot", "hypercorn", "uvicorn", "fastcgi")
FORKING = ("gunicorn", "gunicorn:threads=4", "uwsgi") if sys.platform != "win32" else ()


@pytest.fixture
def _gevent() -> None:
    try:
        require_server(get_server("gevent"), sys.platform)
    except MissingComponent as missing:
        pytest.skip(str(missing))


@pytest.mark.usefixtures("_gevent", "able")
@pytest.mark.parametrize("topology", [*SERVERS, *FORKING, "nginx2-waitress"])
def test_an_app_that_patches_for_gevent_is_served_and_stops(
    topology: str, tmp_path: Path, serve: Serve, traces: Traces
) -> None:
    (tmp_path / "shop.py").write_text(PATCHED)
    with serve(topology, "shop:app", fast="/") as site:
        result = site.load(users=4, count=100, path="/")
        assert result.outcomes == {"200": 100}
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
    # A stop that is not as it should be has raised.
    traces.gone()


SUBCLASS = """
import socket
class Traced(socket.socket):
    pass
socket.socket = Traced

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"traced"]
"""


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", SERVERS)
def test_the_servers_socket_is_one_as_the_app_wants_them(
    topology: str, tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "shop.py").write_text(SUBCLASS)
    with serve(topology, "shop:app", fast="/") as site:
        assert site.get("/").status_code == 200


LISTENING = """
import socket
metrics = socket.create_server(("127.0.0.1", 0))

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(metrics.getsockname()[1]).encode()]
"""


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("topology", ["nginx2-waitress", *SERVERS, *FORKING])
def test_an_app_may_listen_itself(topology: str, tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "shop.py").write_text(LISTENING)
    with serve(topology, "shop:app", fast="/") as site:
        port = int(site.get("/").text)
        assert str(port) not in {backend.url.rpartition(":")[2] for backend in site.backends}
