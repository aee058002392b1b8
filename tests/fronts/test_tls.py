"""Fronts that serve over TLS: a certificate that the lab's clients trust, and cookies for https."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests

from pytest_winserve import Lab
from pytest_winserve.deploy.order import check_topology
from pytest_winserve.errors import MissingComponent, UsageError
from pytest_winserve.load.journeys.journey_file import read_journeys
from pytest_winserve.system.exchange import Exchanges
from pytest_winserve.system.program import Deadline
from pytest_winserve.system.trust import SYSTEM
from pytest_winserve.topology import Topology
from tests.kit.commands import winserve
from tests.kit.components import needs

SHOP = """
from flask import Flask, request, session
from werkzeug.middleware.proxy_fix import ProxyFix
app = Flask(__name__)
app.config.update(SECRET_KEY="shop", SESSION_COOKIE_SECURE=True)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)

@app.route("/login")
def login():
    session["user"] = "me"
    return request.url

@app.route("/")
def page():
    return f"hello {session['user']}" if "user" in session else ("who?", 401)
"""

JOURNEY = """
[[journey]]
name = "visit"
[[journey.step]]
get = "/login"
[[journey.step]]
get = "/"
expect = { text = "hello me" }
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    (tmp_path / "visit.toml").write_text(JOURNEY, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("front", ["nginx2", pytest.param("apache2", marks=needs("apache"))])
def test_users_with_secure_cookies_stay_logged_in_and_every_request_is_accounted_for(
    lab: Lab, shop: Path, front: str
) -> None:
    journeys = read_journeys(shop / "visit.toml")
    topology = f"{front}-waitress:front.tls=true"
    with lab.serve(topology, "shop:app", fast="/login") as site:
        assert site.url.startswith("https://127.0.0.1:")
        assert site.get("/login").text == f"{site.url}/login"
        assert site.get("/").text == "hello me"
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(site.url, timeout=10)
        verdict = site.probe()
        assert not verdict.blocked
        assert site.capacity(limit=4).value == 4
        walked = site.load(users=5, count=100, journeys=journeys)
        plain = site.load(users=5, count=100, keepalive=False)
    for result, count in ((walked, 200), (plain, 100)):
        assert result.outcomes == {"200": count}
        assert result.ledger is not None
        assert result.ledger.unaccounted == 0
        assert result.ledger.sides[0].seen == count
        assert result.tls is not None
        assert result.tls.count == result.connect.count


@needs("tsung")
def test_tsung_loads_a_front_with_tls(lab: Lab, shop: Path) -> None:
    with lab.serve("nginx2-waitress:front.tls=true", "shop:app", fast="/login") as site:
        result = site.load(users=4, count=40, engine="tsung")
    assert result.outcomes == {"200": 40}
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0


@needs("locust")
def test_locust_loads_a_front_with_tls(lab: Lab, shop: Path) -> None:
    journeys = read_journeys(shop / "visit.toml")
    with lab.serve("nginx2-waitress:front.tls=true", "shop:app", fast="/login") as site:
        result = site.load(users=5, count=50, journeys=journeys, engine="locust")
    assert result.outcomes == {"200": 100}
    assert result.ledger is not None
    assert result.ledger.unaccounted == 0
    assert result.journeys[0].complete == 50


def test_a_login_over_tls_is_that_of_probes_and_loads(lab: Lab, shop: Path) -> None:
    (login,) = read_journeys(shop / "visit.toml")
    with lab.serve("nginx1-waitress:front.tls=true", "shop:app", fast="/login", login=login) as up:
        assert up.get("/").text == "hello me"
        result = up.load(users=2, count=20, path="/")
    assert result.outcomes == {"200": 20}


@needs("minutes")
def test_several_processes_are_looked_at_through_a_front_with_tls(lab: Lab, shop: Path) -> None:
    topology = "nginx2-waitress:front.tls=true:front.sticky=true"
    with lab.serve(topology, "shop:app", fast="/login") as site:
        found = site.several_processes()
    assert found.lost == ()


def test_without_what_makes_the_certificate(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(MissingComponent, match=r"trustme: it makes the certificate") as caught:
        lab.serve("nginx1:front.tls=true")
    assert caught.value.hint == 'python -m pip install "pytest-winserve[tls]"'


@needs("minutes")
def test_the_command_loads_and_walks_over_tls(shop: Path) -> None:
    serve = ("nginx1-waitress:front.tls=true", "--app", "shop:app", "--fast", "/login")
    done = winserve("load", *serve, "--users", "2", "--duration", "0.5", cwd=shop)
    assert done.status == 0, done.out + done.err
    assert "answered" in done.out
    walked = winserve("journey", "check", "visit.toml", *serve, cwd=shop)
    assert walked.status == 0, walked.out + walked.err
    assert walked.out.endswith("complete\n")


def test_a_client_that_does_not_trust_the_site_says_so(lab: Lab) -> None:
    with lab.serve("nginx1-waitress:front.tls=true") as site:
        with Exchanges(site.deployment.address, trust=SYSTEM) as exchanges:
            get = exchanges.get("/test", {}, Deadline.after(30))
            exchanges.finish()
        assert get.error is not None
        assert "certificate verify failed" in get.error


def test_it_is_not_deployed() -> None:
    topology = Topology.parse("nginx2-waitress:front.tls=true")
    with pytest.raises(UsageError, match=r"only the lab trusts the certificate .*; leave it out"):
        check_topology(topology, "files", even_development=False)
