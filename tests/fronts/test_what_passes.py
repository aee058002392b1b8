"""What a front lets through: bodies up to its limit, and the upgrade to a WebSocket."""

from __future__ import annotations

import pytest
from simple_websocket import Client

from pytest_winserve import Lab, Request, Site
from tests.kit.components import needs
from tests.kit.loads import adds_up, answers

APP = "tests.kit.apps.placed:app"
UPLOAD = Request("/upload", method="POST", body=bytes(2_000_000))


def uploads(site: Site, *, body: bytes = UPLOAD.body) -> int:
    return site.client.post("/upload", data=body).status_code


def test_a_413_of_the_front_is_told_as_that(lab: Lab) -> None:
    with lab.serve("nginx2-waitress", app=APP, fast="/") as site:
        assert uploads(site, body=bytes(1024 * 1024)) == 200
        assert uploads(site, body=bytes(1024 * 1024 + 1)) == 413
        result = site.load(users=2, count=20, requests=[UPLOAD])
    adds_up(result)
    count = result.outcomes["413"]
    assert count + result.outcomes.get("reset", 0) == 20
    assert result.ledger is not None
    (note,) = (note for note in result.ledger.notes if note.startswith("413 by nginx"))
    assert note.endswith(
        "a body of 2000000 bytes is over its limit, and no backend saw these requests "
        "(front.body_limit=1, in MB; nginx2-waitress:front.body_limit=2 lets them through)"
    )
    assert note in result.summary()
    assert set(answers(result)) == {"-"}


@pytest.mark.parametrize("topology", ["nginx2-waitress:front.body_limit=2",
                                      "nginx1-waitress:front.body_limit=0"])  # fmt: skip
def test_a_wider_front_lets_it_through(lab: Lab, topology: str) -> None:
    with lab.serve(topology, app=APP, fast="/") as site:
        result = site.load(users=2, count=20, requests=[UPLOAD])
    adds_up(result)
    assert result.outcomes == {"200": 20}
    assert result.ledger is not None
    assert not any(note.startswith("413") for note in result.ledger.notes)


@needs("apache")
def test_apache_has_a_limit_of_its_own(lab: Lab) -> None:
    with lab.serve("apache1-waitress", app=APP, fast="/") as site:
        assert uploads(site) == 200
    with lab.serve("apache1-waitress:front.body_limit=1", app=APP, fast="/") as site:
        result = site.load(users=2, count=20, requests=[UPLOAD])
    adds_up(result)
    assert result.ledger is not None
    assert any(note.startswith("413 by apache") for note in result.ledger.notes)


def test_the_nginx_of_fastcgi_is_no_front_and_has_no_limit(lab: Lab) -> None:
    with lab.serve("fastcgi", app=APP, fast="/") as site:
        assert uploads(site) == 200


@pytest.mark.parametrize(
    "topology",
    [
        "nginx2",
        "nginx2-gevent",
        pytest.param("apache2", marks=needs("apache")),
        pytest.param("apache2-gevent", marks=needs("apache")),
    ],
)
def test_a_websocket_passes(lab: Lab, topology: str) -> None:
    with lab.serve(topology, app=APP, fast="/") as site:
        client = Client.connect(f"{site.url.replace('http', 'ws')}/echo")
        try:
            for word in ("first", "second"):
                client.send(word)
                assert client.receive(timeout=20) == word
        finally:
            client.close()
        kept = site.get("/").json()["connection"]
        # An ordinary request keeps the connection between front and backend, if that is asked for.
        assert kept in (None, "Keep-Alive")


def test_where_no_connection_is_kept_each_is_closed(lab: Lab) -> None:
    """By HTTP/1.0, which has no upgrades."""
    with lab.serve("nginx1:front.keepalive=0", app=APP, fast="/") as site:
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        for headers in ({}, upgrade):
            assert site.get("/", headers=headers).json()["connection"] == "close"


def test_other_upgrades_do_not_pass(lab: Lab) -> None:
    with lab.serve("nginx1", app=APP, fast="/") as site:
        asked = site.get("/", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
        assert asked.json()["connection"] is None
