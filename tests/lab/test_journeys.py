"""Users of an app with a login: each with its own account, cookies and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_winserve import Journey, Lab, Step
from pytest_winserve.errors import AppError
from pytest_winserve.load.results.result import Result
from tests.kit.accounts import APP, STEPS, environment, journey
from tests.kit.loads import adds_up, seen

USERS = 50


TLS = "nginx4-waitress:front.tls=true"
SHOP = """
import time
from flask import Flask, make_response, request
app = Flask(__name__)

@app.get("/shop/login")
def login():
    answer = make_response("welcome")
    answer.set_cookie("member", "ann", path="/shop")
    return answer

@app.get("/shop/orders")
def orders():
    return "yours" if request.cookies.get("member") == "ann" else ("who?", 401)

@app.get("/shop/slow")
def slow():
    time.sleep(0.3)
    return orders()

@app.get("/admin/slow")
def report():
    time.sleep(0.3)
    return index()

@app.get("/")
def index():
    return "no one" if "member" not in request.cookies else ("too much", 400)
"""


@pytest.mark.parametrize("topology", ["nginx4-waitress", TLS])
def test_fifty_users_with_their_own_accounts(tmp_path: Path, topology: str) -> None:
    with Lab(environment=environment(tmp_path)) as lab, lab.serve(topology, APP) as site:
        assert site.url.startswith("https://") == (topology == TLS)
        result = site.load(users=USERS, count=USERS, timeout=30, journeys=[journey()])
    adds_up(result)
    assert result.unexpected == (), result.summary()
    assert "unexpected" not in result.outcomes
    (share,) = result.journeys
    assert (share.begun, share.complete, share.broken) == (USERS, USERS, {})
    assert {name: one.ended for name, one in result.by_request.items()} == dict.fromkeys(
        STEPS, USERS
    )
    assert result.sent == USERS * len(STEPS)
    assert result.errors == 0
    assert seen(result)["front's log"] == result.sent
    if topology == TLS:
        assert result.tls is not None
        assert result.tls.count == result.connect.count
    assert result.tsung_tables()["rows"]["session"]["count"] == USERS
    assert result.sessions.count == USERS
    assert Result.from_dict(result.to_dict()).journeys == result.journeys
    assert "for-you" not in str(result.to_dict())


def test_keys_of_each_process_break_the_steps_that_need_them(tmp_path: Path) -> None:
    with (
        Lab(environment=environment(tmp_path, key=False)) as lab,
        lab.serve(TLS, APP) as site,
    ):
        result = site.load(users=8, count=40, timeout=30, journeys=[journey()])
    adds_up(result)
    (share,) = result.journeys
    assert share.begun == 40
    assert share.complete < 40
    assert share.broken["POST /login"] > 0
    assert result.outcomes["unexpected"] == sum(one.count for one in result.unexpected)
    (login,) = [one for one in result.unexpected if one.step == "POST /login"]
    assert login.expected == "status 302"
    assert login.status == "200"
    assert "Sign in" in login.beginning
    told = str(result.to_dict()) + result.summary()
    assert "for-you" not in told
    assert "POST /login" in result.summary()
    with pytest.raises(AssertionError, match=r"POST /login: .* with status 200, expected st"):
        result.require("outcome(unexpected) == 0")


def test_the_cookies_of_a_login_go_where_their_path_says(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    login, app = Journey("in", [Step(get="/shop/login")]), f"{tmp_path / 'shop.py'}:app"
    with Lab() as lab:
        with lab.serve("waitress", app, fast="/shop/orders", login=login) as site:
            assert site.get("/shop/orders").text == "yours"
            assert site.get("/").text == "no one"
            for slow, fast in (("/shop/slow", None), ("/admin/slow", None), ("/shop/slow", "/")):
                site.probe(slow=slow, fast=fast)  # an answer of 4xx is an error of the probe
            assert site.capacity(1, slow="/admin/slow").value == 1
            inside = site.load(users=2, count=10, path="/shop/orders")
            outside = site.load(users=2, count=10, path="/")
        with pytest.raises(AppError, match=r"journey .in. was walked, but left no cookie for /$"):
            lab.serve("waitress", app, fast="/", login=login)
    assert inside.outcomes == outside.outcomes == {"200": 10}
