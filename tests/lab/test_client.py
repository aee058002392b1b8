"""The client of a site stays on it."""

from __future__ import annotations

import pytest

from pytest_winserve.lab.client import Client
from tests.kit.ports import free_port
from tests.kit.raw_server import Connection, MakeServer


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("/there", True),
        ("there?a=b", True),
        ("{url}/there", True),
        ("//127.0.0.1:{port}/there", True),
        ("https://127.0.0.1:{port}/there", False),
        ("http://localhost:{port}/there", False),
        ("http://127.0.0.1:{other}/there", False),
        ("http://127.0.0.1/there", False),
        ("//elsewhere/there", False),
        ("http://[broken/there", False),
        ("http://127.0.0.1:many/there", False),
    ],
)
def test_redirects(raw_server: MakeServer, location: str, followed: bool) -> None:
    def answer(connection: Connection) -> bool:
        if connection.request.startswith(b"GET /here "):
            head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            connection.send(head.encode())
        else:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere")
        return True

    server = raw_server(answer)
    target = location.format(url=server.url, port=server.port, other=free_port())
    with Client(server.url) as client:
        got = client.get("/here", timeout=20)
        if followed:
            assert (got.text, len(got.history)) == ("there", 1)
        else:
            assert (got.status_code, got.headers["Location"], got.history) == (302, target, [])
        # As with any session, one may not want to follow at all.
        assert client.get("/here", allow_redirects=False, timeout=20).status_code == 302
