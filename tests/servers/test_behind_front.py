"""What an app sees of its client behind a front, whatever the server between them."""

from __future__ import annotations

import http.client
import json
import sys
from typing import Any

import pytest

from pytest_winserve import Lab, Site
from pytest_winserve.errors import MissingComponent
from pytest_winserve.options import defaults
from pytest_winserve.servers import get_server, server_names
from tests.kit.components import needs

APP = "tests.kit.apps.placed:app"
CLIENT = "127.0.0.2"
FORGED = {
    "Host": "shop.example",
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Host": "forged.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/forged",
    "Forwarded": "for=203.0.113.7;host=forged.example",
}
SEES_BY_ITSELF = {"waitress", "uvicorn"}
"""Servers that put the client's address in the place of the front's before the app is asked."""
BY_APACHE = {"cgi", "mod_wsgi"}
SERVERS = [
    pytest.param(name, marks=needs("apache") if name in BY_APACHE else ())
    for name in sorted(set(server_names()) - {"command"})
]


def asked_by(site: Site, address: str) -> dict[str, Any]:
    """What the app sees of a client with this address that claims to be somebody else."""
    connection = http.client.HTTPConnection(
        *site.deployment.address, source_address=(address, 0), timeout=20
    )
    try:
        connection.request("GET", "/", headers=FORGED)
        answer = connection.getresponse()
        assert answer.status == 200
        seen: dict[str, Any] = json.loads(answer.read())
    finally:
        connection.close()
    return seen


def sees_the_client(lab: Lab, front: str, server: str) -> None:
    reason = get_server(server).unsupported(sys.platform, defaults(get_server(server).options, {}))
    if reason:
        pytest.skip(f"platform: {reason}")
    try:
        serving = lab.serve(f"{front}1-{server}", app=APP, fast="/")
    except MissingComponent as missing:
        pytest.skip(str(missing))
    with serving as site:
        seen = asked_by(site, CLIENT)
    assert (seen["address"], seen["url"]) == (CLIENT, "http://shop.example/")
    assert seen["others"] == []
    kept = CLIENT if server == "waitress" else f"203.0.113.7, {CLIENT}"
    assert seen["forwarded"] == kept
    assert seen["before"] == (CLIENT if server in SEES_BY_ITSELF else "127.0.0.1")


def test_waitress_believes_the_front(lab: Lab) -> None:
    sees_the_client(lab, "nginx", "waitress")


def test_waitress_that_is_told_not_to_drops_what_the_front_says(lab: Lab) -> None:
    with lab.serve("nginx1-waitress:trusted_proxy=false", app=APP, fast="/") as site:
        seen = asked_by(site, CLIENT)
    assert (seen["address"], seen["forwarded"]) == ("127.0.0.1", None)


def test_waitress_without_a_front_believes_nobody(lab: Lab) -> None:
    with lab.serve("waitress", app=APP, fast="/") as site:
        seen = asked_by(site, CLIENT)
    assert (seen["address"], seen["url"]) == (CLIENT, "http://shop.example/")


@needs("minutes")
@pytest.mark.parametrize("server", SERVERS)
def test_behind_nginx(lab: Lab, server: str) -> None:
    sees_the_client(lab, "nginx", server)


@needs("minutes", "apache")
@pytest.mark.parametrize("server", SERVERS)
def test_behind_apache(lab: Lab, server: str) -> None:
    sees_the_client(lab, "apache", server)
