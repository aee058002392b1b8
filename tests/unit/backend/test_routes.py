"""The routes of an app, as it is and within middleware."""

from __future__ import annotations

from typing import Any

import flask
import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from pytest_winserve.backend.routes import MOST, AppRoute, routes_of


@pytest.fixture
def app() -> flask.Flask:
    app = flask.Flask("shop")

    @app.route("/orders", methods=["GET", "POST"])
    def orders() -> str:
        return ""

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        return str(number)

    return app


FOUND = [
    AppRoute("/orders", ("GET", "POST"), plain=True),
    AppRoute("/orders/<int:number>", ("GET",), plain=False),
]


def test_routes_without_those_of_static_files(app: flask.Flask) -> None:
    assert routes_of(app) == FOUND
    assert routes_of(app.wsgi_app) == FOUND


def test_routes_of_an_app_in_middleware(app: flask.Flask) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert routes_of(app) == FOUND
    assert routes_of(ProxyFix(ProxyFix(app))) == FOUND


def test_many_routes_are_cut(app: flask.Flask) -> None:
    for number in range(MOST):
        app.add_url_rule(f"/{number}", str(number), lambda: "")
    assert len(routes_of(app) or ()) == MOST


def test_what_tells_no_routes_and_has_no_end(app: flask.Flask) -> None:
    def plain(environ: Any, start_response: Any) -> list[bytes]:
        return []

    class Endless:
        url_map = None

        def __getattr__(self, name: str) -> Endless:
            if name == "__wrapped__":
                raise AttributeError(name)
            return Endless()

    assert routes_of(plain) is None
    assert routes_of(Endless()) is None
